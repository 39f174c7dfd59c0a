// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Hyperparameters of a group of parameters, which all optimizers have.</summary>
public abstract record OptimizerOptions
{
    private readonly double _learningRate = 1e-3;
    private readonly double _weightDecay;

    /// <summary>Learning rate, which a <see cref="LearningRateSchedule"/> multiplies.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to a negative number, NaN or infinity.</exception>
    public double LearningRate
    {
        get => _learningRate;
        init => _learningRate = Requirements.FiniteAtLeastZero(value, nameof(LearningRate));
    }

    /// <summary>Weight decay; what it acts on is the optimizer's affair.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to a negative number, NaN or infinity.</exception>
    public double WeightDecay
    {
        get => _weightDecay;
        init => _weightDecay = Requirements.FiniteAtLeastZero(value, nameof(WeightDecay));
    }

    /// <summary>How gradients are clipped, once they are unscaled; null for not at all.</summary>
    public GradientClipping? Clipping { get; init; }
}
