// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary><c>torch.optim.lr_scheduler.StepLR</c>: multiplied by gamma after each stepSize steps.</summary>
public sealed record StepSchedule : LearningRateSchedule
{
    /// <summary>Creates the schedule.</summary>
    /// <param name="stepSize">Steps between two changes, at least 1.</param>
    /// <param name="gamma">Factor of each change, finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public StepSchedule(long stepSize, double gamma = 0.1) =>
        (StepSize, Gamma) = (Steps(stepSize, 1, nameof(stepSize)), Requirements.FiniteAboveZero(gamma, nameof(gamma)));

    /// <summary>Steps between two changes.</summary>
    public long StepSize { get; }

    /// <summary>Factor of each change.</summary>
    public double Gamma { get; }

    /// <inheritdoc/>
    public override double Factor(long step) => Math.Pow(Gamma, step / StepSize);
}
