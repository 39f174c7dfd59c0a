// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary><c>warmup_constant</c> of pytorch-pretrained-BERT: with x = step / totalSteps it is x / warmup below warmup, 1 from there on.</summary>
public sealed record WarmupConstantSchedule : WarmupSchedule
{
    /// <inheritdoc cref="WarmupLinearSchedule(long, double)"/>
    public WarmupConstantSchedule(long totalSteps, double warmup = 0)
        : base(totalSteps, warmup)
    {
    }

    /// <inheritdoc/>
    private protected override double AfterWarmup(double x) => 1;
}
