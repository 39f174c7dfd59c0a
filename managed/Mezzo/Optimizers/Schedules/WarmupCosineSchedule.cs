// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// <c>warmup_cosine</c> of pytorch-pretrained-BERT: with x = step / totalSteps it is x / warmup below warmup, and from there on
/// (1 + cos(2 pi cycles (x - warmup) / (1 - warmup))) / 2, at half a cycle down to 0 at the last step.
/// </summary>
/// <remarks>
/// The early version, (1 + cos(pi x)) / 2, jumps where the warm-up ends; <see cref="Jumps"/> asks for it. Past the last step the
/// cosine goes on, as in the original.
/// </remarks>
public sealed record WarmupCosineSchedule : WarmupSchedule
{
    /// <summary>Creates the schedule.</summary>
    /// <param name="totalSteps">Steps of the whole run, at least 1.</param>
    /// <param name="warmup">Part of them that is warm-up, in [0, 1).</param>
    /// <param name="cycles">Number of cycles of the cosine, finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public WarmupCosineSchedule(long totalSteps, double warmup = 0, double cycles = 0.5)
        : base(totalSteps, warmup) => Cycles = Requirements.FiniteAboveZero(cycles, nameof(cycles));

    /// <summary>Number of cycles of the cosine.</summary>
    public double Cycles { get; }

    /// <summary>Whether the formula is that of the early version.</summary>
    public bool Jumps { get; init; }

    /// <inheritdoc/>
    private protected override double AfterWarmup(double x) =>
        (1 + Math.Cos(Jumps ? Math.PI * x : 2 * Math.PI * Cycles * (x - Warmup) / (1 - Warmup))) / 2;
}
