// SPDX-License-Identifier: MIT
using System.Xml.Linq;
using Mezzo.Cli.Jobs.Checkpointing;
using Mezzo.Cli.Jobs.SinCos;
using Mezzo.Cli.Jobs.SinCos.Plan;

namespace Mezzo.Cli.Tests.Jobs;

/// <summary>Table and report of plans that are made up.</summary>
public sealed class SinCosPlanTests
{
    [Test]
    public void LongCurve_IsThinned_ToItsEndsAndTheChosenPlan([Values(0, 1, 50, 98, 99)] int chosen)
    {
        var result = Result(100, chosen);
        var rows = SinCosPlanTable.Create(result, SampleResults.Environment).Rows.Skip(1).ToArray();
        Assert.Multiple(() =>
        {
            Assert.That(rows, Has.Length.InRange(19, 20));
            Assert.That((rows[0].Cells[0], rows[^1].Cells[0]), Is.EqualTo(("10.0 KiB", "304 B")));
            Assert.That(rows.Where(row => row.Label == "chosen").Select(row => row.Cells[5]), Is.EqualTo(new[] { $"{100 - chosen}" }));
        });
    }

    [Test]
    public void ShortCurve_IsShownWhole() =>
        Assert.That(SinCosPlanTable.Create(Result(20, 7), SampleResults.Environment).Rows, Has.Count.EqualTo(21));

    [Test]
    public void Shares_AreThoseOfTheStepThatKeepsAll()
    {
        var row = SinCosPlanTable.Create(Result(100, 49), SampleResults.Environment).Rows.Single(row => row.Label == "chosen");
        Assert.That(row.Cells, Is.EqualTo(new[] { "5.1 KiB", "2.6 KiB", "50.0 %", "1.51 s", "51.0 %", "51" }));
        Assert.That(SinCosPlanTable.Headline(Result(100, 49)), Is.EqualTo("49.0 % less memory for 51.0 % more time"));
    }

    [Test]
    public void PlansOfMuchMoreTime_AreNotDrawn_ButForTheChosenOne([Values(0, 150)] int chosen)
    {
        var page = XDocument.Parse(SinCosPlanReport.Render(Result(200, chosen), SampleResults.Environment));
        Assert.That(page.Root!.Value.Contains("of fewer bytes and more time than that are left out", StringComparison.Ordinal), Is.EqualTo(chosen > 0));
        Assert.That(page.Descendants().Count(element => (string?)element.Attribute("class") == "region"), Is.EqualTo(2));
    }

    [Test]
    public void SinglePlanOfNothing_GivesAPage()
    {
        var nothing = new PlannedStep(0, 0, 0, 0, 0);
        var result = new SinCosPlanResult(new SinCosOptions(), 1, true, nothing, [nothing], nothing, "the only one");
        Assert.That(() => XDocument.Parse(SinCosPlanReport.Render(result, SampleResults.Environment)), Throws.Nothing);
    }

    /// <summary>Plans that save 100 bytes of peak and 53 of activations each, for a hundredth more time.</summary>
    private static SinCosPlanResult Result(int plans, int chosen)
    {
        PlannedStep[] curve = [.. Enumerable.Range(1, plans).Select(i => new PlannedStep(204 + (i * 100), i * 53, 1 + ((plans - i + 1) / 100.0), (plans - i + 1) / 100.0, plans - i + 1))];
        var all = new PlannedStep(curve[^1].PeakBytes, curve[^1].ActivationBytes, 1, 0, 0);
        return new SinCosPlanResult(new SinCosOptions { Precision = SinCosPrecision.Float32 }, 2, true, all, curve, curve[chosen], "made up");
    }
}
