// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary><c>warmup_constant</c> of pytorch-pretrained-BERT: with x = step / totalSteps it is x / warmup below warmup, 1 from there on.</summary>
public sealed record WarmupConstantSchedule : LearningRateSchedule
{
    /// <inheritdoc cref="WarmupLinearSchedule(long, double)"/>
    public WarmupConstantSchedule(long totalSteps, double warmup = 0) =>
        (TotalSteps, Warmup) = (Steps(totalSteps, 1, nameof(totalSteps)), Fraction(warmup, nameof(warmup)));

    /// <summary>Steps of the whole run.</summary>
    public long TotalSteps { get; }

    /// <summary>Part of them that is warm-up.</summary>
    public double Warmup { get; }

    /// <inheritdoc/>
    public override double Factor(long step)
    {
        double x = (double)step / TotalSteps;
        return x < Warmup ? x / Warmup : 1;
    }
}
