// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>Hyperparameters of <see cref="Sgd"/>; the defaults are those of <c>torch.optim.SGD</c>.</summary>
public sealed record SgdOptions : OptimizerOptions
{
    private readonly double _momentum;
    private readonly double _dampening;

    /// <summary>Momentum, in [0, 1); 0 keeps no buffers.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set outside of it.</exception>
    public double Momentum
    {
        get => _momentum;
        init => _momentum = Requirements.FractionBelowOne(value, nameof(Momentum));
    }

    /// <summary>Dampening of what momentum takes up, in [0, 1].</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set outside of it.</exception>
    public double Dampening
    {
        get => _dampening;
        init => _dampening = value is >= 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Dampening), value, $"Invalid {nameof(Dampening)}: expected a number in [0, 1].");
    }

    /// <summary>Whether the momentum is Nesterov's, which needs momentum and no dampening.</summary>
    public bool Nesterov { get; init; }

    /// <summary>Whether weight decay is added after momentum: apex's <c>wd_after_momentum</c>.</summary>
    public bool DecayAfterMomentum { get; init; }

    /// <summary>The numbers for the native call; the learning rate comes from the device.</summary>
    internal MezzoSgdDesc ToDescriptor() => new()
    {
        Lr = 1,
        Momentum = Momentum,
        Dampening = Dampening,
        Nesterov = Nesterov ? 1 : 0,
        WeightDecay = WeightDecay,
        DecayAfterMomentum = DecayAfterMomentum ? 1 : 0,
    };
}
