// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Mezzo;

/// <summary>What a step that ran out of memory keeps, and the plan by which it would fit, in words.</summary>
internal static class OutOfMemoryAdvice
{
    private const int LayersNamed = 6;

    /// <param name="profile">The step.</param>
    /// <param name="bytesInUse">Bytes that were in use when it failed, so many as can be had.</param>
    public static string For(CheckpointProfile profile, long bytesInUse)
    {
        var layers = profile.SavedByLayer.ToArray();
        long others = layers.Skip(LayersNamed).Sum(layer => layer.Bytes);
        string saved = string.Join(", ", layers.Take(LayersNamed).Select(layer => $"{layer.Layer} {Megabytes(layer.Bytes)}"));
        string advice = profile.WillFit(bytesInUse)
            ? $"trainer.Checkpoint = trainer.Profile(loss).ForBudget({Number(bytesInUse)}) would fit: {Describe(profile, profile.ForBudget(bytesInUse))}."
            : $"However much of it is computed once more, the step takes {Megabytes(profile.Smallest().PredictedPeakBytes)}: make the batch smaller, or accumulate micro-batches.";
        return $" Before the step {Megabytes(profile.BytesBefore)} are in use. Without a plan its layers save {saved}"
            + (others > 0 ? $", {layers.Length - LayersNamed} others {Megabytes(others)}" : "") + $". {advice}";
    }

    private static string Describe(CheckpointProfile profile, CheckpointPlan plan)
    {
        double more = plan.RecomputeSeconds / (plan.PredictedSeconds - plan.RecomputeSeconds);
        return string.Create(CultureInfo.InvariantCulture, $"{Megabytes(plan.PredictedPeakBytes)} at most, for {100 * more:f0}% more time");
    }

    private static string Megabytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:#,0.###} MB");

    private static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);
}
