// SPDX-License-Identifier: MIT
using System.Xml.Linq;
using Mezzo.Cli.Jobs.Checkpointing;
using Mezzo.Cli.Report;
using static Mezzo.Cli.Report.Html;

namespace Mezzo.Cli.Jobs.SinCos.Plan;

/// <summary>The plans as one HTML page.</summary>
internal static class SinCosPlanReport
{
    private const double Height = 260;

    /// <summary>Plans of more extra time are drawn only up to the chosen one.</summary>
    private const double MostExtraTime = 1;

    /// <summary>What the study has published of checkpointing: 50 to 60% less memory for 15 to 25% more time.</summary>
    private static readonly Region Published = new((15, 25), (40, 50), "published");

    public static string Render(SinCosPlanResult result, JobEnvironment environment)
    {
        var table = SinCosPlanTable.Create(result, environment);
        return Page(
            $"Mezzo: {SinCosPlanTable.Headline(result)}",
            Element(
                "header",
                Classed("p", "kicker", "Mezzo · activation checkpointing of the sin/cos study"),
                Element("h1", SinCosPlanTable.Headline(result)),
                Classed("p", "abstract", Abstract(result))),
            Facts([.. table.Settings, .. table.Comparison]),
            Element("h2", "What can be chosen"),
            Curves(result),
            Element("h2", "The plans"),
            table.ToHtml(),
            Element("h2", "How to repeat it"),
            Element("pre", environment.Command),
            Facts([.. environment.Facts(), new Fact("threads", Format.Count(result.Threads)), new Fact("seed", $"{result.Options.Seed}")]),
            Element("footer", "Written by mezzo. What plans take is predicted from what was measured of a step's ops in this run."));
    }

    private static string Abstract(SinCosPlanResult result) =>
        $"A step of a network of {Format.Count(result.Options.Layers, "layer")} of width {Format.Count(result.Options.Hidden)} and two heads on " +
            $"{Format.Count(result.Options.Samples, "point")} in {result.Precision} {(result.Fits ? "takes" : "would take")} {Format.Bytes(result.Uncheckpointed.PeakBytes)} and " +
            $"{Format.Duration(result.Uncheckpointed.Seconds)} with all activations kept, and {Format.Bytes(result.Chosen.PeakBytes)} and " +
            $"{Format.Duration(result.Chosen.Seconds)} under the chosen plan. The results are the same bit for bit.";

    private static XElement Curves(SinCosPlanResult result)
    {
        // The last bytes cost many times the time, and would leave no room for the rest.
        double most = Math.Max(MostExtraTime, result.Chosen.ExtraTime);
        PlannedStep[] drawn = [.. result.Curve.Where(step => step.ExtraTime <= most)];

        // Both panels share this axis, so that they can be compared.
        var x = LinearAxis.Fit("more time than without checkpointing, %", [0, Published.X.To, .. drawn.Select(step => 100 * step.ExtraTime)]);
        return Figure(
            "Memory against time of the forward and the backward pass, both as parts of a step that keeps all activations. Each step of the line is a plan; " +
                $"the chosen one is {result.Reason}. The box is what the sin/cos study has published: 50 to 60% less memory for 15 to 25% more time." +
                (drawn.Length < result.Curve.Count ? $" Not drawn: {Format.Count(result.Curve.Count - drawn.Length, "plan")} of fewer bytes for over {Format.Percent(most)} more time." : ""),
            Legend(Published, (SeriesKind.Step, 1, "plans"), (SeriesKind.Marks, 2, "chosen")),
            Panel("peak memory", Chart("peak", "Peak memory", "% of the peak without checkpointing", result.PeakShare)),
            Panel("activations", Chart("activations", "Activations kept", "% of all activations", result.ActivationShare)));

        XElement Chart(string id, string title, string label, Func<PlannedStep, double> share)
        {
            Point At(PlannedStep step) => new(100 * step.ExtraTime, 100 * share(step));
            var y = LinearAxis.Fit(label, [0, 100, .. drawn.Select(step => 100 * share(step))]);
            var frame = new ChartFrame(
                id,
                $"{title} against time",
                $"The chosen plan keeps {Format.Percent(share(result.Chosen))} for {Format.Percent(result.Chosen.ExtraTime)} more time.",
                Height);
            return XyChart.Draw(
                frame,
                x,
                y,
                [
                    new Series(SeriesKind.Step, 1, [.. drawn.Select(At).OrderBy(point => point.X)]),
                    new Series(SeriesKind.Marks, 2, [At(result.Chosen)], "chosen"),
                ],
                region: Published);
        }
    }
}
