// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// <c>get_linear_schedule_with_warmup</c> of transformers: step / warmupSteps during the warm-up, then linearly down to 0 at
/// the last step.
/// </summary>
public sealed record LinearSchedule : LearningRateSchedule
{
    /// <summary>Creates the schedule.</summary>
    /// <param name="totalSteps">Steps of the whole run, at least 1.</param>
    /// <param name="warmupSteps">Steps of the warm-up, at least 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public LinearSchedule(long totalSteps, long warmupSteps = 0) =>
        (TotalSteps, WarmupSteps) = (Steps(totalSteps, 1, nameof(totalSteps)), Steps(warmupSteps, 0, nameof(warmupSteps)));

    /// <summary>Steps of the whole run.</summary>
    public long TotalSteps { get; }

    /// <summary>Steps of the warm-up.</summary>
    public long WarmupSteps { get; }

    /// <inheritdoc/>
    public override double Factor(long step) =>
        step < WarmupSteps
            ? (double)step / WarmupSteps
            : Math.Max(0, (double)(TotalSteps - step) / Math.Max(1, TotalSteps - WarmupSteps));
}
