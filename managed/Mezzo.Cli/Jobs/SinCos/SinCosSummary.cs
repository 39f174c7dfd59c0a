// SPDX-License-Identifier: MIT
using Mezzo.Cli.Jobs.Checkpointing;
using Mezzo.Cli.Report;

namespace Mezzo.Cli.Jobs.SinCos;

/// <summary>The study's printed table, and the sentences that say the same.</summary>
internal static class SinCosSummary
{
    public static SummaryTable Table(SinCosResult result, JobEnvironment environment)
    {
        var options = result.Options;
        var runs = result.Runs;
        SummaryRow Row(string label, Func<SinCosRun, string> cell) => new(label, [.. runs.Select(cell)]);
        return new SummaryTable(
            [
                new Fact("device", $"{options.Device} ({environment.DeviceName}), {Format.Count(result.Threads, "thread")}"),
                new Fact("epochs", Format.Count(options.Epochs)),
                .. options.OptLevel is { } level ? [new Fact("opt level", $"{level}")] : Array.Empty<Fact>(),
                new Fact("optimizer", OptimizerText(options)),
                new Fact("learning rate", LearningRateText(options)),
                new Fact("data size", Format.Count(options.Samples)),
                .. options.Accumulate > 1 ? [new Fact("micro-batches", Format.Count(options.Accumulate))] : Array.Empty<Fact>(),
                .. options.Checkpoint != CheckpointChoice.None ? [new Fact("checkpointing", $"{options.Checkpoint}")] : Array.Empty<Fact>(),
            ],
            [.. runs.Select(run => run.Name)],
            [
                .. result.Interrupted ? [Row("epochs done", run => Format.Count(run.Steps.Count))] : Array.Empty<SummaryRow>(),
                Row("time", run => Format.Seconds(run.Seconds)),
                Row("epochs per second", EpochsPerSecond),
                Row("smallest loss", run => Format.Loss(run.SmallestLoss)),
                Row("last loss", run => run.Losses.Count == 0 ? "none" : Format.Loss(run.Losses[^1])),
                Row("skipped steps", run => Format.Count(run.SkippedSteps)),
                Row("peak memory", run => Format.Bytes(run.PeakBytes)),
                .. options.Checkpoint != CheckpointChoice.None ? Planned() : [],
                Row("steps captured", run => run.IsCaptured ? "yes" : "no"),
            ],
            Comparison(result));

        SummaryRow[] Planned() =>
        [
            Row("predicted peak", run => run.Planned is { } step ? Format.Bytes(step.PeakBytes) : "none"),
            Row("activations kept", run => run.Planned is { } step ? Format.Bytes(step.ActivationBytes) : "all"),
            Row("extra time of a step", run => run.Planned is { } step ? Format.Percent(step.ExtraTime) : "none"),
        ];
    }

    /// <summary>What the job found, as a headline.</summary>
    public static string Headline(SinCosResult result)
    {
        var (first, last) = (result.Runs[0], result.Runs[^1]);
        if (result.Interrupted)
        {
            return $"Interrupted after {Format.Count(last.Steps.Count)} of {Format.Count(result.Options.Epochs)} epochs in {last.Name}";
        }

        if (result.Runs.FirstOrDefault(run => run.FirstNonFinite is not null) is { FirstNonFinite: { } step } diverged)
        {
            return $"In {diverged.Name} the loss is {Format.Loss(step.Loss)} at epoch {Format.Count(step.Step)}";
        }

        return result.Speedup is { } speedup
            ? $"{last.Name} trains the network {Format.Ratio(speedup)} as fast as {first.Name}"
            : $"{first.Name} trains the network in {Format.Seconds(first.Seconds)}, to a loss of {Format.Loss(first.SmallestLoss)}";
    }

    /// <summary>One sentence for each run that met a loss that is not a number, naming the step, or whose steps could not be captured.</summary>
    public static IEnumerable<string> Warnings(SinCosResult result) => NonFiniteLosses(result).Concat(
        from run in result.Runs
        where run.Capture.State == CaptureState.Refused
        select $"{run.Name}: the steps were not captured: {run.Capture.Reason}");

    private static IEnumerable<string> NonFiniteLosses(SinCosResult result) =>
        from run in result.Runs
        where run.FirstNonFinite is not null
        let step = run.FirstNonFinite!.Value
        let outcome = step.Outcome == StepOutcome.Skipped ? $"skipped ({Format.Reason(step.Reason)})" : "applied all the same"
        select $"{run.Name}: the loss of epoch {Format.Count(step.Step)} is {Format.Loss(step.Loss)}, expected a finite number; " +
            $"its step was {outcome}; steps skipped in all: {Format.Count(run.SkippedSteps)}; a smaller --lr may help.";

    private static string OptimizerText(SinCosOptions options) => string.Join(", ", (string[])
    [
        options.Optimizer.Name,
        .. options.WeightDecay is { } decay ? [$"weight decay {Format.Number(decay)}"] : Array.Empty<string>(),
        .. options.MaxGradNorm is { } norm ? [$"gradients clipped to a norm of {Format.Number(norm)}"] : Array.Empty<string>(),
    ]);

    private static string LearningRateText(SinCosOptions options)
    {
        string rate = Format.Number(options.LearningRate);
        bool isScheduled = options.Schedule != ScheduleChoice.All[0];
        return !isScheduled ? rate
            : options.Warmup == 0 ? $"{rate}, {options.Schedule.Name}"
            : $"{rate}, {options.Schedule.Name} after {Format.Percent(options.Warmup)} of warm-up";
    }

    private static string EpochsPerSecond(SinCosRun run) =>
        run.Steps.Count > 0 ? Format.Rate(run.Steps.Count / run.Seconds) : "none";

    private static IReadOnlyList<Fact> Comparison(SinCosResult result)
    {
        if (result.Speedup is not { } speedup)
        {
            return [];
        }

        double saved = result.Runs[0].Seconds - result.Runs[1].Seconds;
        return
        [
            new Fact("time saved", $"{Format.Seconds(saved)} ({Format.Percent(saved / result.Runs[0].Seconds)})"),
            new Fact("speed-up", Format.Ratio(speedup)),
        ];
    }
}
