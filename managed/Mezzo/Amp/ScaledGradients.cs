// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>An optimizer's gradients, still multiplied by the loss scale: they can be divided by it, or applied, and nothing else.</summary>
public sealed class ScaledGradients
{
    private readonly GradScaler _scaler;
    private readonly Optimizer _optimizer;
    private readonly long _iteration;

    internal ScaledGradients(GradScaler scaler, Optimizer optimizer, long iteration) => (_scaler, _optimizer, _iteration) = (scaler, optimizer, iteration);

    /// <summary>Divides the gradients by the loss scale, so that they can be clipped or looked at.</summary>
    /// <exception cref="InvalidOperationException">They have been, or were applied.</exception>
    public UnscaledGradients Unscale()
    {
        _scaler.ExpectIteration(_iteration);
        _scaler.Unscale(_optimizer);
        return new UnscaledGradients(_scaler, _optimizer, _iteration);
    }

    /// <summary>Applies the gradients, divided by the loss scale in the optimizer's pass, unless they hold Inf or NaN, and updates the scale.</summary>
    /// <exception cref="InvalidOperationException">They were applied already, or divided by the loss scale.</exception>
    public ScalerStepResult Step()
    {
        _scaler.ExpectIteration(_iteration);
        if (_scaler.IsUnscaled(_optimizer))
        {
            throw new InvalidOperationException("The gradients were unscaled: step with what Unscale() returned.");
        }

        return _scaler.StepAndUpdate(_optimizer);
    }
}
