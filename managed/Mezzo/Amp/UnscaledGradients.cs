// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>An optimizer's gradients without the loss scale: they can be looked at, clipped and applied.</summary>
public sealed class UnscaledGradients
{
    private readonly GradScaler _scaler;
    private readonly Optimizer _optimizer;
    private readonly long _iteration;
    private GradientClipping? _clipping;

    internal UnscaledGradients(GradScaler scaler, Optimizer optimizer, long iteration) => (_scaler, _optimizer, _iteration) = (scaler, optimizer, iteration);

    /// <summary>L2 norm of all gradients. Waits for the work that computes it.</summary>
    public double Norm => _optimizer.ReadGradNorm();

    /// <summary>Clips the gradients in the step that follows, instead of what the optimizer's options say.</summary>
    /// <param name="clipping">How.</param>
    /// <returns>The gradients.</returns>
    public UnscaledGradients Clip(GradientClipping clipping)
    {
        ArgumentNullException.ThrowIfNull(clipping);
        _clipping = clipping;
        return this;
    }

    /// <summary>Applies the gradients, unless they held Inf or NaN, and updates the loss scale.</summary>
    /// <exception cref="InvalidOperationException">They were applied already.</exception>
    public ScalerStepResult Step()
    {
        _scaler.ExpectIteration(_iteration);
        using (_optimizer.ClipOnce(_clipping))
        {
            return _scaler.StepAndUpdate(_optimizer);
        }
    }
}
