// SPDX-License-Identifier: MIT
using System.Globalization;
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
    public void PlanThatTakesWhatTheStepWithoutOneTakes_IsShownOnlyIfItIsChosen([Values] bool isChosen)
    {
        var result = Result(20, 7);
        result = result with { Curve = [.. result.Curve.SkipLast(1), result.Uncheckpointed with { Regions = 3 }] };
        result = isChosen ? result with { Chosen = result.Curve[^1] } : result;
        var rows = SinCosPlanTable.Create(result, SampleResults.Environment).Rows;
        Assert.That(rows, Has.Count.EqualTo(isChosen ? 21 : 20));
        Assert.That((rows[0].Label, rows[1].Label), Is.EqualTo(("no checkpointing", isChosen ? "chosen" : "")));
    }

    [Test]
    public void Table_OfHundredsOfMegabytesAndPercent_Fits80Columns()
    {
        const long MiB = 1 << 20;
        var (all, least) = (new PlannedStep(1000 * MiB, 900 * MiB, 0.9, 0, 0), new PlannedStep(300 * MiB, 100 * MiB, 9, 8.1, 47) { ExtraTime = 9 });
        var result = new SinCosPlanResult(new SinCosOptions { Precision = SinCosPrecision.BFloat16 }, 2, true, all, [least, all], least, "made up");
        string[] lines = [.. SinCosPlanTable.Create(result, SampleResults.Environment).Lines()];
        Assert.That(lines, Has.Some.Contains("1000.0 MiB").And.Some.Contains("900.0 ms").And.Some.Contains("900.0%"));
        Assert.That(lines.Select(line => line.Length), Is.All.LessThanOrEqualTo(80));
    }

    [Test]
    public void Table_TellsWhatTheChosenPlanKeepsInHostMemory()
    {
        var all = new PlannedStep(1000, 900, 1, 0, 0);
        var copying = new PlannedStep(500, 400, 1.5, 0.25, 3) { WaitSeconds = 0.25, ExtraTime = 0.5, OffloadedBytes = 2048 };
        var result = new SinCosPlanResult(new SinCosOptions(), 2, true, all, [copying, all], copying, "made up");
        Assert.That(SinCosPlanTable.Create(result, SampleResults.Environment).Lines(), Has.Some.Matches(@"^in host memory +2\.0 KiB$"));
        Assert.That(SinCosPlanTable.Create(result with { Chosen = all }, SampleResults.Environment).Lines(), Has.None.Contains("host memory"));
    }

    [Test]
    public void Shares_AreThoseOfTheStepThatKeepsAll()
    {
        var row = SinCosPlanTable.Create(Result(100, 49), SampleResults.Environment).Rows.Single(row => row.Label == "chosen");
        Assert.That(row.Cells, Is.EqualTo(new[] { "5.1 KiB", "2.6 KiB", "50.0%", "1.51 s", "51.0%", "51" }));
        Assert.That(SinCosPlanTable.Headline(Result(100, 49)), Is.EqualTo("49.0% less memory for 51.0% more time"));
    }

    [Test]
    public void PlansOfMuchMoreTime_AreNotDrawn_ButForTheChosenOne([Values(0, 150)] int chosen)
    {
        var page = Page(Result(200, chosen));
        Assert.That(page.Root!.Value.Contains("Not drawn: 100 plans of fewer bytes for over 100.0% more time.", StringComparison.Ordinal), Is.EqualTo(chosen > 0));
        Assert.That(Class(page.Root!, "region"), Has.Exactly(3).Items, "two charts and the legend");
    }

    /// <summary>The line falls to the right, so it passes through labels beside and below its points.</summary>
    [Test]
    public void OnlyLabelOfAChart_StandsAboveTheChosenPlan()
    {
        foreach (var chart in Charts(Result(100, 49)))
        {
            string[] mark = Class(chart, "marks s2").Single().Attribute("d")!.Value.TrimStart('M').Split(' ', 'h');
            var label = Class(chart, "name s2").Single();
            Assert.That(Number((string)label.Attribute("y")!), Is.LessThan(Number(mark[1]) - 5));
            string[] others = [.. chart.Descendants().Where(element => element.Name.LocalName == "text" && element != label).Select(text => (string)text.Attribute("class")!)];
            Assert.That(others, Is.All.StartsWith("tick").Or.StartsWith("label"), "the axes'");
            Assert.That(Class(chart, "region").Single().Parent, Is.SameAs(chart), "without a text of its own");
        }
    }

    [Test]
    public void LineAtTheEdge_IsNotClippedToHalfItsWidth()
    {
        foreach (var chart in Charts(Result(100, 49)))
        {
            var line = Class(chart, "step s1").Single();
            var canvas = line.Parent!;
            double[] view = [.. ((string)canvas.Attribute("viewBox")!).Split(' ').Select(Number)];
            Assert.That((string)line.Attribute("d")!, Does.Match(@"^M[\d.]+ 0h0"), "it begins at the upper edge");
            Assert.That((string)canvas.Attribute("overflow")!, Is.EqualTo("hidden"));
            Assert.That(view[1], Is.LessThan(-0.9), "half of the width of 1.8");
            Assert.That(view[1] + view[3], Is.GreaterThan(Number((string)chart.Attribute("height")!) + 0.9));
            Assert.That((Number((string)canvas.Attribute("y")!), Number((string)canvas.Attribute("height")!)), Is.EqualTo((view[1], view[3])), "its units are pixels");
        }
    }

    [Test]
    public void Table_ScrollsByItself_OnNarrowPages() => Assert.That(
        Page(Result(20, 7)).Descendants("table").Select(table => (string?)table.Parent!.Attribute("class")), Is.EqualTo(new[] { "scroll" }));

    [Test]
    public void SinglePlanOfNothing_GivesAPage()
    {
        var nothing = new PlannedStep(0, 0, 0, 0, 0);
        var result = new SinCosPlanResult(new SinCosOptions(), 1, true, nothing, [nothing], nothing, "the only one");
        Assert.That(() => XDocument.Parse(SinCosPlanReport.Render(result, SampleResults.Environment)), Throws.Nothing);
    }

    private static XDocument Page(SinCosPlanResult result) => XDocument.Parse(SinCosPlanReport.Render(result, SampleResults.Environment));

    private static IEnumerable<XElement> Charts(SinCosPlanResult result) => Class(Page(result).Root!, "chart");

    private static IEnumerable<XElement> Class(XElement within, string name) => within.Descendants().Where(element => (string?)element.Attribute("class") == name);

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);

    /// <summary>Plans that save 100 bytes of peak and 53 of activations each, for a hundredth more time.</summary>
    private static SinCosPlanResult Result(int plans, int chosen)
    {
        PlannedStep[] curve = [.. Enumerable.Range(1, plans).Select(i => new PlannedStep(204 + (i * 100), i * 53, 1 + ((plans - i + 1) / 100.0), (plans - i + 1) / 100.0, plans - i + 1) { ExtraTime = (plans - i + 1) / 100.0 })];
        var all = new PlannedStep(curve[^1].PeakBytes, curve[^1].ActivationBytes, 1, 0, 0);
        return new SinCosPlanResult(new SinCosOptions { Precision = SinCosPrecision.Float32 }, 2, true, all, curve, curve[chosen], "made up");
    }
}
