// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Mezzo.Cli.Jobs.SinCos;

namespace Mezzo.Cli.Tests.Jobs;

public sealed partial class SinCosReportTests
{
    private const int SizeLimit = 400 * 1000;

    private static IEnumerable<TestCaseData> Degenerate()
    {
        TestCaseData Case(string name, params SinCosRun[] runs) =>
            new TestCaseData(SampleResults.Result(5, 1000, runs)).SetArgDisplayNames(name);
        yield return Case("no epoch", SampleResults.Run(Precision.Float32, []));
        yield return Case("one epoch", SampleResults.Run(Precision.Float16, [0.5]));
        yield return Case("one sample, two runs", SampleResults.Run(Precision.Float32, [1, 0.5]), SampleResults.Run(Precision.BFloat16, [1]));
        yield return Case("constant loss", SampleResults.Run(Precision.Float32, Enumerable.Repeat(0.25, 1000)));
        yield return Case("zero loss", SampleResults.Run(Precision.Float32, Enumerable.Repeat(0.0, 1000)));
        yield return Case("negative loss", SampleResults.Run(Precision.Float32, Enumerable.Repeat(-1.0, 1000)));
        yield return Case("NaN everywhere", SampleResults.Run(Precision.Float16, Enumerable.Repeat(double.NaN, 1000), double.NaN, skipping: true));
        yield return Case("Inf everywhere", SampleResults.Run(Precision.Float32, Enumerable.Repeat(double.PositiveInfinity, 1000), double.PositiveInfinity));
        yield return Case("some NaN", SampleResults.Run(Precision.Float32, [1, double.NaN, 0.5, double.NegativeInfinity, 0.25]));
        yield return Case("extreme loss", SampleResults.Run(Precision.Float32, [double.MaxValue, double.Epsilon], 1e300));
        yield return Case("every step skipped", SampleResults.Run(Precision.Float16, SampleResults.Losses(1000), skipping: true));
    }

    [TestCaseSource(nameof(Degenerate))]
    public void AnyResult_GivesWellFormedXmlWithFiniteNumbers(object result)
    {
        string html = SinCosReport.Render((SinCosResult)result, SampleResults.Environment);

        var page = XDocument.Parse(html);
        var geometry = page.Descendants()
            .Where(element => element.Name.NamespaceName.EndsWith("svg", StringComparison.Ordinal))
            .Attributes()
            .Where(attribute => attribute.Name.LocalName is "d" or "x" or "y" or "x1" or "x2" or "y1" or "y2" or "width" or "height" or "dx");
        foreach (var attribute in geometry)
        {
            foreach (Match number in Number().Matches(attribute.Value))
            {
                Assert.That(
                    double.TryParse(number.Value, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && double.IsFinite(value),
                    $"{attribute} in {attribute.Parent!.Name.LocalName}");
            }
        }
    }

    [Test]
    public void LongRuns_StayBelowTheSizeLimit()
    {
        var result = SampleResults.Result(
            20_000,
            100_000,
            SampleResults.Run(Precision.Float32, SampleResults.Losses(100_000), skipping: true),
            SampleResults.Run(Precision.Float16, SampleResults.Losses(100_000), skipping: true));

        string html = SinCosReport.Render(result, SampleResults.Environment);

        Assert.That(Encoding.UTF8.GetByteCount(html), Is.LessThan(SizeLimit));
    }

    [Test]
    public void Report_NeedsNoNetworkAndNoScript()
    {
        string html = Compare();

        Assert.Multiple(() =>
        {
            Assert.That(html, Does.Not.Contain("<script").And.Not.Contain("@import").And.Not.Contain("url("));
            Assert.That(html.Replace("http://www.w3.org/2000/svg", "", StringComparison.Ordinal), Does.Not.Contain("http"));
        });
    }

    [Test]
    public void SkippedSteps_AreListedWithWhyAndWhere()
    {
        var run = SampleResults.Run(Precision.Float16, SampleResults.Losses(1000), skipping: true);
        int last = run.Steps.Count - 1;
        StepResult[] steps =
        [
            .. run.Steps.Take(last).Select(step => step with { Outcome = StepOutcome.Applied, Reason = SkipReason.None }),
            run.Steps[last] with { Gradients = new GradientSummary(2.5, 3, 4, 5, 6, "trunk.0.weight") },
        ];
        var result = SampleResults.Result(
            1000, 1000, new SinCosRun(run.Precision, run.Scaling, steps, run.Elapsed, run.PeakBytes, run.Capture, run.Prediction));
        string[] lines = [.. SinCosSkips.Lines(result)];
        Assert.That(lines, Has.Length.EqualTo(1));
        string text = XDocument.Parse(SinCosReport.Render(result, SampleResults.Environment)).Root!.Value;
        foreach (string expected in new[] { "fp16, epoch 999", "gradients with Inf or NaN", "3 Inf, 4 NaN", "trunk.0.weight" })
        {
            Assert.That(lines[0], Does.Contain(expected));
            Assert.That(text, Does.Contain(expected));
        }

        Assert.That(SinCosSkips.Lines(SampleResults.Result(1000, 1000, run)).ToArray(), Has.Length.EqualTo(6).And.Some.Contains("329 more steps skipped"));
        Assert.That(SinCosSkips.Table(SampleResults.Result(1000, 1000, run))!.Value, Does.Contain("The first 50 of 334 skipped steps."));
    }

    [Test]
    public void EveryChart_HasATitleAndADescriptionOfItsOwn()
    {
        var page = XDocument.Parse(Compare());
        var charts = page.Descendants().Where(element => (string?)element.Attribute("role") == "img").ToArray();
        string[] ids = [.. page.Descendants().Attributes("id").Select(id => id.Value)];

        Assert.Multiple(() =>
        {
            Assert.That(charts, Has.Length.EqualTo(10));
            Assert.That(ids, Is.Unique);
            foreach (var chart in charts)
            {
                Assert.That(chart.Attribute("aria-labelledby")!.Value.Split(' '), Is.SubsetOf(ids));
                Assert.That(chart.Elements().Take(2).Select(element => element.Value), Is.All.Not.Empty);
            }
        });
    }

    [Test]
    public void Report_ShowsTheTableTheCommandAndTheEnvironment()
    {
        string text = XDocument.Parse(Compare()).Root!.Element("body")!.Value;

        foreach (string expected in new[] { "mezzo train sincos --out <a & b>", "A processor", "speed-up", "1.00x", "117.7 MiB", "skipped steps", "2 threads" })
        {
            Assert.That(text, Does.Contain(expected));
        }
    }

    [Test]
    public void LossScaleChart_MarksSkippedSteps()
    {
        var run = SampleResults.Run(Precision.Float16, SampleResults.Losses(9), skipping: true);
        var page = XDocument.Parse(SinCosReport.Render(SampleResults.Result(5, 9, run), SampleResults.Environment));
        var marks = page.Descendants().Where(element => (string?)element.Attribute("class") == "marks s1").ToArray();

        Assert.That(marks, Has.Length.EqualTo(1));
        Assert.That(marks[0].Attribute("d")!.Value.Count(letter => letter == 'M'), Is.EqualTo(3));
    }

    [Test]
    public void Rendering_IsTheSameInEveryCulture()
    {
        string invariant = Compare();
        var culture = CultureInfo.CurrentCulture;
        try
        {
            var commas = (CultureInfo)CultureInfo.InvariantCulture.Clone();
            commas.NumberFormat.NumberDecimalSeparator = ",";
            CultureInfo.CurrentCulture = commas;
            Assert.That(Compare(), Is.EqualTo(invariant));
        }
        finally
        {
            CultureInfo.CurrentCulture = culture;
        }
    }

    private static string Compare() => SinCosReport.Render(
        SampleResults.Result(
            100,
            200,
            SampleResults.Run(Precision.Float32, SampleResults.Losses(200)),
            SampleResults.Run(Precision.Float16, SampleResults.Losses(200), skipping: true)),
        SampleResults.Environment);

    /// <summary>What stands where a number belongs: digits, or the name of a number that is not finite.</summary>
    [GeneratedRegex(@"[-+]?[\d.]+(?:[eE][-+]?\d+)?|NaN|∞|Infinity")]
    private static partial Regex Number();
}
