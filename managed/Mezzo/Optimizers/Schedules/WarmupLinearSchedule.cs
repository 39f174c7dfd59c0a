// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// <c>warmup_linear</c> of pytorch-pretrained-BERT: up from 0 to 1 over the warm-up, then down to 0 at the last step. With
/// x = step / totalSteps it is x / warmup below warmup, max((x - 1) / (warmup - 1), 0) from there on.
/// </summary>
/// <remarks>The first step with a warm-up has a learning rate of 0, as in the original.</remarks>
public sealed record WarmupLinearSchedule : LearningRateSchedule
{
    /// <summary>Creates the schedule.</summary>
    /// <param name="totalSteps">Steps of the whole run, at least 1.</param>
    /// <param name="warmup">Part of them that is warm-up, in [0, 1).</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public WarmupLinearSchedule(long totalSteps, double warmup = 0) =>
        (TotalSteps, Warmup) = (Steps(totalSteps, 1, nameof(totalSteps)), Fraction(warmup, nameof(warmup)));

    /// <summary>Steps of the whole run.</summary>
    public long TotalSteps { get; }

    /// <summary>Part of them that is warm-up.</summary>
    public double Warmup { get; }

    /// <inheritdoc/>
    public override double Factor(long step)
    {
        double x = (double)step / TotalSteps;
        return x < Warmup ? x / Warmup : Math.Max((x - 1) / (Warmup - 1), 0);
    }
}
