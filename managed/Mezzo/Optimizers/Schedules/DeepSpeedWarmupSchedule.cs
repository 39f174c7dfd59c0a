// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// DeepSpeed's <c>WarmupLR</c> with a smallest rate of 0: log(step + 1) / log(max(2, warmupSteps)) or, when linear,
/// step / warmupSteps during the warm-up, then 1; or, as its <c>WarmupDecayLR</c>, linearly down to 0 at the last step.
/// </summary>
/// <remarks>
/// DeepSpeed's engine moves its scheduler on after the optimizer's step, from its smallest rate: there a step takes the factor
/// of the step before it, here its own.
/// </remarks>
public sealed record DeepSpeedWarmupSchedule : LearningRateSchedule
{
    /// <summary>Creates the schedule.</summary>
    /// <param name="warmupSteps">Steps of the warm-up; as in the original at least 2 are taken.</param>
    /// <param name="linear">Whether the warm-up is linear.</param>
    /// <param name="totalSteps">Steps of the whole run, at the end of which the rate is 0; null to stay at 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public DeepSpeedWarmupSchedule(long warmupSteps, bool linear = false, long? totalSteps = null)
    {
        (WarmupSteps, Linear) = (Math.Max(2, Steps(warmupSteps, 0, nameof(warmupSteps))), linear);
        TotalSteps = totalSteps is { } total ? Steps(total, 1, nameof(totalSteps)) : null;
    }

    /// <summary>Steps of the warm-up.</summary>
    public long WarmupSteps { get; }

    /// <summary>Whether the warm-up is linear.</summary>
    public bool Linear { get; }

    /// <summary>Steps of the whole run; null for no end.</summary>
    public long? TotalSteps { get; }

    /// <inheritdoc/>
    public override double Factor(long step) =>
        step < WarmupSteps ? (Linear ? (double)step / WarmupSteps : Math.Log(step + 1) / Math.Log(WarmupSteps))
        : TotalSteps is { } total ? Math.Max(0, (double)(total - step) / Math.Max(1, total - WarmupSteps))
        : 1;
}
