// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// <c>warmup_linear</c> of pytorch-pretrained-BERT: up from 0 to 1 over the warm-up, then down to 0 at the last step. With
/// x = step / totalSteps it is x / warmup below warmup, max((x - 1) / (warmup - 1), 0) from there on.
/// </summary>
public sealed record WarmupLinearSchedule : WarmupSchedule
{
    /// <summary>Creates the schedule.</summary>
    /// <param name="totalSteps">Steps of the whole run, at least 1.</param>
    /// <param name="warmup">Part of them that is warm-up, in [0, 1).</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public WarmupLinearSchedule(long totalSteps, double warmup = 0)
        : base(totalSteps, warmup)
    {
    }

    /// <inheritdoc/>
    private protected override double AfterWarmup(double x) => Math.Max((x - 1) / (Warmup - 1), 0);
}
