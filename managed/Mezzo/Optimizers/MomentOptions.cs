// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Hyperparameters of optimizers that keep two moments of each gradient.</summary>
public abstract record MomentOptions : OptimizerOptions
{
    private readonly double _beta1 = 0.9;
    private readonly double _beta2 = 0.999;
    private readonly double _eps = 1e-8;

    /// <summary>Decay of the first moment, in [0, 1).</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set outside of it.</exception>
    public double Beta1
    {
        get => _beta1;
        init => _beta1 = Requirements.FractionBelowOne(value, nameof(Beta1));
    }

    /// <summary>Decay of the second moment, in [0, 1).</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set outside of it.</exception>
    public double Beta2
    {
        get => _beta2;
        init => _beta2 = Requirements.FractionBelowOne(value, nameof(Beta2));
    }

    /// <summary>Added to the denominator.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to a negative number, NaN or infinity.</exception>
    public double Eps
    {
        get => _eps;
        init => _eps = Requirements.FiniteAtLeastZero(value, nameof(Eps));
    }
}
