// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>What one training step did.</summary>
/// <param name="Step">Number of the step, from 0.</param>
/// <param name="Outcome">Whether the parameters were updated.</param>
/// <param name="Reason">Why not.</param>
/// <param name="Scale">The loss scale the step ran at, 1 without a scaler.</param>
/// <param name="Loss">The loss, unscaled.</param>
public readonly record struct StepResult(long Step, StepOutcome Outcome, SkipReason Reason, double Scale, double Loss)
{
    /// <inheritdoc cref="ScalerStepResult.Gradients"/>
    public GradientSummary? Gradients { get; init; }

    /// <summary>How often the step was tried again at a lower scale (<see cref="TrainerOptions.RetriesOnOverflow"/>).</summary>
    public int Retries { get; init; }
}
