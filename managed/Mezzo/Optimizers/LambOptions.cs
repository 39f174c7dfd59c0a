// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>Hyperparameters of <see cref="Lamb"/>; the defaults are those of apex's <c>FusedLAMB</c>, which clips all gradients to a norm of 1.</summary>
public sealed record LambOptions : MomentOptions
{
    /// <summary>Options with the defaults.</summary>
    public LambOptions() => (Eps, WeightDecay, Clipping) = (1e-6, 0.01, GradientClipping.ByNorm(1));

    /// <summary>Whether moments are corrected for their beginning at 0.</summary>
    public bool BiasCorrection { get; init; } = true;

    /// <summary>Whether the gradient enters the first moment times 1 - <see cref="MomentOptions.Beta1"/>, and not as it is.</summary>
    public bool GradAveraging { get; init; } = true;

    /// <summary>Whether weight decay is part of the update, and not an L2 penalty: apex's <c>adam_w_mode</c>.</summary>
    public bool DecayOfUpdate { get; init; } = true;

    /// <summary>Whether learning rates adapt also without weight decay: apex's <c>use_nvlamb</c>.</summary>
    public bool AlwaysAdapts { get; init; }

    /// <summary>The numbers for the native call; the learning rate comes from the device.</summary>
    internal MezzoLambDesc ToDescriptor() => new()
    {
        Lr = 1,
        Beta1 = Beta1,
        Beta2 = Beta2,
        Eps = Eps,
        WeightDecay = WeightDecay,
        BiasCorrection = BiasCorrection ? 1 : 0,
        GradAveraging = GradAveraging ? 1 : 0,
        DecayOfUpdate = DecayOfUpdate ? 1 : 0,
        AlwaysAdapts = AlwaysAdapts ? 1 : 0,
    };
}
