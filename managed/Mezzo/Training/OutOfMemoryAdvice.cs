// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Mezzo;

/// <summary>What a step that ran out of memory keeps, and the plan by which it would fit, in words.</summary>
internal static class OutOfMemoryAdvice
{
    private const int LayersNamed = 6;

    /// <summary>The advice for a step that has failed; nothing where it cannot even be run in parts.</summary>
    public static string For(TrainingStep training, StepFunction function)
    {
        try
        {
            // So many can be had, as they have been, or are free now.
            var device = training.Optimizer.Device;
            long bytes = Math.Max(device.Memory.PeakBytes, device.ReachableMemory);
            return For(training.Profile(function), bytes, function.MicroBatches);
        }
        catch (Exception)
        {
            return ""; // what went wrong is that the step did not fit, not this
        }
    }

    private static string For(CheckpointProfile profile, long bytes, int microBatches)
    {
        var layers = profile.SavedByLayer.ToArray();
        long others = layers.Skip(LayersNamed).Sum(layer => layer.Bytes);
        string saved = string.Join(", ", layers.Take(LayersNamed).Select(layer => $"{layer.Layer} {Megabytes(layer.Bytes)}"));
        string advice = profile.WillFit(bytes)
            ? $"trainer.CheckpointPlan = trainer.Profile(() => loss{(microBatches > 1 ? $" of a micro-batch, {microBatches}" : "")}).ForBudget({Number(bytes)}) would fit: {Describe(profile.ForBudget(bytes))}."
            : $"However much of it is computed once more, the step takes {Megabytes(profile.Smallest().PredictedPeakBytes)}: make the batch smaller, or accumulate micro-batches.";
        return $" Before the step {Megabytes(profile.BytesBefore)} are in use. Without a plan its layers save {saved}"
            + (others > 0 ? $", {layers.Length - LayersNamed} others {Megabytes(others)}" : "") + $". {advice}";
    }

    private static string Describe(CheckpointPlan plan) => string.Create(
        CultureInfo.InvariantCulture, $"{Megabytes(plan.PredictedPeakBytes)} at most, for {100 * plan.ExtraTime:f0}% more time");

    private static string Megabytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:#,0.###} MB");

    private static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);
}
