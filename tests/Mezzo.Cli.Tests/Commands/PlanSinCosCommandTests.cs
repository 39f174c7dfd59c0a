// SPDX-License-Identifier: MIT
using System.Text.Json;
using System.Xml.Linq;
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Tests.Commands;

[Category("CpuOnly")] // what devices have to do with plans is the library's, and tested there
public sealed class PlanSinCosCommandTests
{
    private static readonly string[] Deep =
        ["plan", "sincos", "--samples", "512", "--hidden", "32", "--layers", "24", "--device", TestDevice.Name];

    private TemporaryFolder _folder = null!;

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void DeleteFolder() => _folder.Dispose();

    [TestCase("fp32")]
    [TestCase("bf16")]
    [TestCase("fp16")]
    public void Plans_AreACurve_BelowTheStepThatKeepsAll(string precision)
    {
        var (outcome, json) = Plan("--precision", precision);

        var all = json.GetProperty("uncheckpointed");
        var curve = json.GetProperty("curve").EnumerateArray().ToArray();
        double seconds = all.GetProperty("seconds").GetDouble();
        Assert.Multiple(() =>
        {
            Assert.That(outcome.Error, Is.Empty);
            Assert.That(json.GetProperty("precision").GetString(), Is.EqualTo(precision));
            Assert.That(json.GetProperty("layers").GetInt32(), Is.EqualTo(24));
            Assert.That(curve, Has.Length.GreaterThan(4));
            Assert.That(curve.Select(Peak), Is.Ordered.Ascending);
            Assert.That(curve.Select(plan => plan.GetProperty("seconds").GetDouble()), Is.Ordered.Descending);
            Assert.That(curve.Select(plan => plan.GetProperty("seconds").GetDouble() - plan.GetProperty("recompute_seconds").GetDouble()), Is.All.EqualTo(seconds).Within(1e-6).Percent);
            Assert.That(Peak(curve[0]), Is.LessThan(0.8 * Peak(all)));
            Assert.That(Peak(curve[^1]), Is.EqualTo(Peak(all)).Within(2).Percent, "that drops nothing that costs time");
            Assert.That(curve.Select(plan => plan.GetRawText()), Has.Member(json.GetProperty("chosen").GetRawText()));
            Assert.That(json.GetProperty("chosen").GetProperty("recompute_seconds").GetDouble(), Is.LessThanOrEqualTo(0.25 * seconds));
        });
    }

    [Test]
    public void StepThatKeepsAll_IsThatOfTraining()
    {
        var (_, json) = Plan();
        string result = _folder.File("train.json");
        var outcome = CommandRunner.Run(
            ["train", .. Deep.Skip(1), "--precision", "fp32", "--epochs", "3", "--capture", "off", "--out", _folder.Path, "--json", result]);
        Assert.That(outcome.ExitCode, Is.EqualTo(ExitCode.Success), outcome.Error);
        long peak = Peak(JsonDocument.Parse(File.ReadAllText(result)).RootElement.GetProperty("runs")[0]);
        Assert.That(Peak(json.GetProperty("uncheckpointed")), Is.EqualTo(peak).Within(1).Percent);

        // 24 layers and one of each head keep their outputs; targets and predictions add little.
        Assert.That(json.GetProperty("uncheckpointed").GetProperty("activation_bytes").GetInt64(), Is.EqualTo(26 * 512 * 32 * sizeof(float)).Within(5).Percent);
    }

    [Test]
    public void Budget_ChoosesTheFastestPlanWithin()
    {
        var (_, free) = Plan();
        long all = Peak(free.GetProperty("uncheckpointed"));
        var (outcome, json) = Plan("--budget", $"{all * 3 / 4}");
        var chosen = json.GetProperty("chosen");
        var within = json.GetProperty("curve").EnumerateArray().Where(plan => Peak(plan) <= all * 3 / 4);
        Assert.That(chosen.GetRawText(), Is.EqualTo(within.MinBy(plan => plan.GetProperty("seconds").GetDouble()).GetRawText()));
        Assert.That(outcome.Output, Does.Contain($"the fastest within the budget of {all * 3 / 4}"));
    }

    [Test]
    public void BudgetThatIsTooSmall_IsRefused_NamingTheSmallest()
    {
        var outcome = CommandRunner.Run([.. Deep, "--budget", "2KB", "--out", _folder.Path]);
        Assert.That(outcome.ExitCode, Is.EqualTo(ExitCode.Usage));
        Assert.That(outcome.Error, Does.Match(@"^--budget: got 2KB, expected at least [\d.]+[KM]B, the least that a step in fp32 can do with\n$"));
    }

    [Test]
    public void Table_HasAtMostTwentyPlans_AndMarksTheChosenOne()
    {
        var (outcome, json) = Plan();
        string[] rows = [.. outcome.Output.Split('\n').Where(line => line.TrimEnd().Split("iB ").Length > 2)];
        Assert.That(rows, Has.Length.InRange(5, 21));
        Assert.That(rows[0], Does.StartWith("no checkpointing"));
        Assert.That(rows.Count(row => row.StartsWith("chosen", StringComparison.Ordinal)), Is.EqualTo(1));
        Assert.That(json.GetProperty("curve").GetArrayLength(), Is.GreaterThanOrEqualTo(rows.Length - 1));
    }

    [Test]
    public void Report_DrawsTheCurve_TheChosenPlan_AndThePublishedRegion()
    {
        Plan();
        var page = XDocument.Parse(File.ReadAllText(_folder.File("report.html")));
        int Count(string style) => page.Descendants().Count(element => (string?)element.Attribute("class") == style);
        Assert.Multiple(() =>
        {
            Assert.That(Count("chart"), Is.EqualTo(2));
            Assert.That((Count("step s1"), Count("marks s2"), Count("region")), Is.EqualTo((3, 3, 3)), "two charts and the legend");
            Assert.That(page.Root!.Value, Does.Contain("mezzo plan sincos").And.Contain("50 to 60% less memory for 15 to 25% more time"));
        });
    }

    private static long Peak(JsonElement step) => step.GetProperty("peak_bytes").GetInt64();

    private (CommandOutcome Outcome, JsonElement Json) Plan(params string[] options)
    {
        string json = _folder.File("plan.json");
        var outcome = CommandRunner.Run([.. Deep, "--out", _folder.Path, "--json", json, .. options]);
        Assert.That(outcome.ExitCode, Is.EqualTo(ExitCode.Success), outcome.Error);
        return (outcome, JsonDocument.Parse(File.ReadAllText(json)).RootElement);
    }
}
