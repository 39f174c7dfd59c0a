// SPDX-License-Identifier: MIT
using System.Xml.Linq;
using Mezzo.Cli.Report;
using static Mezzo.Cli.Report.Html;

namespace Mezzo.Cli.Jobs.SinCos;

/// <summary>The job's report: one HTML page.</summary>
internal static class SinCosReport
{
    public static string Render(SinCosResult result, JobEnvironment environment)
    {
        var table = SinCosSummary.Table(result, environment);
        var charts = new SinCosCharts(result);
        string headline = SinCosSummary.Headline(result);
        return Page(
            $"Mezzo: {headline}",
            Element(
                "header",
                Classed("p", "kicker", "Mezzo · sin/cos study"),
                Element("h1", headline),
                Classed("p", "abstract", Abstract(result))),
            SinCosSummary.Warnings(result).Select(warning => Classed("p", "notice", warning)),
            Classed("div", "columns", table.ToHtml(), Facts([.. table.Settings, .. table.Comparison])),
            Element("h2", "What the network learnt"),
            charts.Fit(),
            charts.Errors(),
            Element("h2", "How it learnt"),
            charts.Loss(),
            charts.LossScale(),
            SinCosSkips.Table(result),
            charts.Gradients(),
            Element("h2", "What it cost"),
            charts.Cost(),
            Element("h2", "How to repeat it"),
            Element("pre", environment.Command),
            Facts([.. environment.Facts(), new Fact("threads", Format.Count(result.Threads)), new Fact("seed", $"{result.Options.Seed}")]),
            Element("footer", "Written by mezzo. All charts are drawn from the measurements of this run."));
    }

    private static string Abstract(SinCosResult result)
    {
        var options = result.Options;
        string runs = string.Join(" and then in ", result.Runs.Select(run => run.Name));
        return $"A network of width {Format.Count(options.Hidden)} with two heads learns the sine and the cosine of " +
            $"{Format.Count(options.Samples, "noisy point")}, the whole set in each of {Format.Count(options.Epochs, "epoch")}, in {runs}" +
            (result.Runs.Count > 1 ? ", from the same data and the same initial parameters." : ".");
    }
}
