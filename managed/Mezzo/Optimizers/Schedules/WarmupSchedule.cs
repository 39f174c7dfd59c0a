// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// A schedule of pytorch-pretrained-BERT, in the part x = step / totalSteps of the run that is over: x / warmup below warmup,
/// and what the schedule says from there on.
/// </summary>
/// <remarks>The first step with a warm-up has a learning rate of 0, as in the original.</remarks>
public abstract record WarmupSchedule : LearningRateSchedule
{
    private protected WarmupSchedule(long totalSteps, double warmup) =>
        (TotalSteps, Warmup) = (Steps(totalSteps, 1, nameof(totalSteps)), Requirements.FractionBelowOne(warmup, nameof(warmup)));

    /// <summary>Steps of the whole run.</summary>
    public long TotalSteps { get; }

    /// <summary>Part of them that is warm-up.</summary>
    public double Warmup { get; }

    /// <inheritdoc/>
    public sealed override double Factor(long step)
    {
        double x = (double)step / TotalSteps;
        return x < Warmup ? x / Warmup : AfterWarmup(x);
    }

    /// <summary>The factor once the warm-up is over.</summary>
    private protected abstract double AfterWarmup(double x);
}
