// SPDX-License-Identifier: MIT
using Mezzo.Cli.Jobs.Checkpointing;
using Mezzo.Cli.Report;

namespace Mezzo.Cli.Jobs.SinCos.Plan;

/// <summary>The plans as a table, and what they come to as sentences.</summary>
internal static class SinCosPlanTable
{
    private const int MostRows = 20;

    public static SummaryTable Create(SinCosPlanResult result, JobEnvironment environment)
    {
        var options = result.Options;
        SummaryRow Row(string label, PlannedStep step) => new(label,
        [
            Format.Bytes(step.PeakBytes),
            Format.Bytes(step.ActivationBytes),
            Format.Percent(result.ActivationShare(step)),
            Format.Duration(step.Seconds),
            Format.Percent(step.ExtraTime),
            Format.Count(step.Regions),
        ]);
        return new SummaryTable(
            [
                new Fact("device", $"{options.Device} ({environment.DeviceName}), {Format.Count(result.Threads, "thread")}"),
                new Fact("precision", result.Precision),
                new Fact("layers", Format.Count(options.Layers)),
                new Fact("width", Format.Count(options.Hidden)),
                new Fact("data size", Format.Count(options.Samples)),
                .. result.Fits ? Array.Empty<Fact>() : [new Fact("without a plan", "does not fit the memory")],
            ],
            ["peak", "activations", "kept", "time", "extra time", "regions"],
            [
                Row("no checkpointing", result.Uncheckpointed),
                .. Shown(result).Select(step => Row(step == result.Chosen ? "chosen" : "", step)),
            ],
            [
                new Fact("chosen", result.Reason),
                .. result.Chosen.OffloadedBytes > 0 ? [new Fact("in host memory", Format.Bytes(result.Chosen.OffloadedBytes))] : Array.Empty<Fact>(),
            ]);
    }

    /// <summary>What the chosen plan comes to, as a headline.</summary>
    public static string Headline(SinCosPlanResult result) =>
        $"{Format.Percent(1 - result.PeakShare(result.Chosen))} less memory for {Format.Percent(result.Chosen.ExtraTime)} more time";

    /// <summary>
    /// The plans from the most bytes to the fewest, every so many of them left out but for the chosen one. One that takes what the
    /// step without a plan takes, which has a row of its own, is shown only if it is chosen.
    /// </summary>
    private static IEnumerable<PlannedStep> Shown(SinCosPlanResult result)
    {
        const int Places = MostRows - 1;
        var all = result.Uncheckpointed;
        PlannedStep[] curve = [.. result.Curve.Where(step => step == result.Chosen || (step.PeakBytes, step.Seconds) != (all.PeakBytes, all.Seconds))];
        var shown = curve.Length <= MostRows
            ? curve
            : Enumerable.Range(0, Places).Select(i => curve[(int)((long)i * (curve.Length - 1) / (Places - 1))]).Append(result.Chosen).Distinct();
        return shown.OrderByDescending(step => step.PeakBytes);
    }
}
