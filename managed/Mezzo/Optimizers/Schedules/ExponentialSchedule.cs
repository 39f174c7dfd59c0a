// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary><c>torch.optim.lr_scheduler.ExponentialLR</c>: gamma to the power of the step.</summary>
public sealed record ExponentialSchedule : LearningRateSchedule
{
    /// <summary>Creates the schedule.</summary>
    /// <param name="gamma">Factor of each step, finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">The argument is out of its range.</exception>
    public ExponentialSchedule(double gamma) => Gamma = Requirements.FiniteAboveZero(gamma, nameof(gamma));

    /// <summary>Factor of each step.</summary>
    public double Gamma { get; }

    /// <inheritdoc/>
    public override double Factor(long step) => Math.Pow(Gamma, step);
}
