// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Whether an optimizer step changed the parameters.</summary>
public enum StepOutcome
{
    /// <summary>The parameters were updated.</summary>
    Applied = 0,

    /// <summary>The parameters were left as they were.</summary>
    Skipped = 1,
}

/// <summary>Why an optimizer step was skipped.</summary>
public enum SkipReason
{
    /// <summary>It was not.</summary>
    None = 0,

    /// <summary>A gradient held Inf or NaN, which a lower loss scale may cure.</summary>
    NonFiniteGradients = 1,

    /// <summary>No parameter of the optimizer had a gradient.</summary>
    NoGradients = 2,

    /// <summary>
    /// A gradient held Inf or NaN, and the scale was the policy's smallest already, which is an error:
    /// <see cref="ScalerPolicy.ThrowsAtMinScale"/>.
    /// </summary>
    ScaleAtMinimum = 3,

    /// <summary>
    /// The gradients held NaN that no loss scale cures: no Inf was among them, and the loss itself was not finite or the scale
    /// was at most 1. The scale stays what it is.
    /// </summary>
    NotANumber = 4,
}

/// <summary>What <see cref="GradScaler.Step(Optimizer)"/> did.</summary>
/// <param name="Outcome">Applied or skipped.</param>
/// <param name="Reason">Why it was skipped.</param>
/// <param name="Scale">The loss scale that the gradients were computed at.</param>
public readonly record struct ScalerStepResult(StepOutcome Outcome, SkipReason Reason, double Scale)
{
    /// <summary>What the gradients held: of a step with Inf or NaN, and of each step where the optimizer measures them; else null.</summary>
    public GradientSummary? Gradients { get; init; }
}
