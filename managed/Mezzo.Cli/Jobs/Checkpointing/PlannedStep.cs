// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Jobs.Checkpointing;

/// <summary>What a step is predicted to take under a plan.</summary>
/// <param name="PeakBytes">Most bytes at any time, with those that are live before the step.</param>
/// <param name="ActivationBytes">Bytes that the forward pass leaves for the backward pass.</param>
/// <param name="Seconds">Time of the forward and the backward pass.</param>
/// <param name="RecomputeSeconds">Time of it for what is computed once more.</param>
/// <param name="Regions">Number of regions that are computed once more.</param>
internal sealed record PlannedStep(long PeakBytes, long ActivationBytes, double Seconds, double RecomputeSeconds, int Regions)
{
    /// <summary>Time of it in which the device waits for copies to host memory and back.</summary>
    public double WaitSeconds { get; init; }

    /// <summary>How much longer it takes than without computing anything once more, or waiting for copies: 0.25 is a quarter.</summary>
    public double ExtraTime { get; init; }

    /// <summary>Bytes of activations that are kept in host memory.</summary>
    public long OffloadedBytes { get; init; }

    /// <summary>What a plan predicts.</summary>
    public static PlannedStep Of(CheckpointPlan plan) =>
        new(plan.PredictedPeakBytes, plan.PredictedActivationBytes, plan.PredictedSeconds, plan.RecomputeSeconds, plan.Regions)
        {
            WaitSeconds = plan.WaitSeconds,
            ExtraTime = plan.ExtraTime,
            OffloadedBytes = plan.OffloadedBytes,
        };
}
