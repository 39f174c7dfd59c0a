// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>What weight decay of <see cref="Adam"/> acts on.</summary>
public enum AdamWeightDecay
{
    /// <summary>The gradient, as an L2 penalty does: <c>torch.optim.Adam</c>.</summary>
    L2 = 0,

    /// <summary>The parameter before the step, times the learning rate: <c>torch.optim.AdamW</c>, apex's <c>FusedAdam</c>.</summary>
    Parameter = 1,

    /// <summary>The same, times the step size, so with bias correction: apex's <c>FusedAdam</c> of 2019, <c>BertAdam</c>.</summary>
    StepSize = 2,

    /// <summary>The parameter after the step, times the learning rate: <c>AdamW</c> of transformers.</summary>
    After = 3,
}

/// <summary>How <see cref="Adam"/> makes up for moments that begin at 0, with 1 - beta^t for each of them.</summary>
public enum AdamBiasCorrection
{
    /// <summary>Both moments are divided by theirs.</summary>
    Moments = 0,

    /// <summary>The step size is multiplied by the quotient of the two; eps is not corrected.</summary>
    StepSize = 1,

    /// <summary>It does not.</summary>
    None = 2,
}

/// <summary>Hyperparameters of <see cref="Mezzo.Adam"/>, with the optimizers of its family by name.</summary>
/// <example><code>
/// new Adam(model.Parameters(), AdamOptions.AdamW with { LearningRate = 5e-5 });
/// </code></example>
public sealed record AdamOptions : MomentOptions
{
    /// <summary><c>torch.optim.Adam</c>: an L2 penalty.</summary>
    public static AdamOptions Adam { get; } = new();

    /// <summary><c>torch.optim.AdamW</c>: weight decay of its own, 0.01.</summary>
    public static AdamOptions AdamW { get; } = new() { WeightDecay = 0.01, Decay = AdamWeightDecay.Parameter };

    /// <summary><c>apex.optimizers.FusedAdam</c>: AdamW without weight decay unless it is set; <c>adam_w_mode=False</c> is <see cref="Adam"/>.</summary>
    public static AdamOptions FusedAdam { get; } = new() { Decay = AdamWeightDecay.Parameter };

    /// <summary>
    /// <c>apex.contrib.optimizers.FusedAdam</c>, which was <c>apex.optimizers.FusedAdam</c> until 2019. Its
    /// <c>max_grad_norm</c> is <see cref="GradientClipping.ByNorm"/> with <see cref="ClippingScope.Group"/>.
    /// </summary>
    public static AdamOptions LegacyFusedAdam { get; } = new() { Decay = AdamWeightDecay.StepSize, BiasCorrection = AdamBiasCorrection.StepSize };

    /// <summary><c>BertAdam</c> of pytorch-pretrained-BERT: no bias correction, each gradient clipped to a norm of 1.</summary>
    public static AdamOptions BertAdam { get; } = new()
    {
        Eps = 1e-6,
        WeightDecay = 0.01,
        Decay = AdamWeightDecay.StepSize,
        BiasCorrection = AdamBiasCorrection.None,
        Clipping = GradientClipping.ByNorm(1, ClippingScope.Parameter),
    };

    /// <summary><c>AdamW</c> of Hugging Face's transformers.</summary>
    public static AdamOptions HuggingFaceAdamW { get; } = new()
    {
        Eps = 1e-6,
        Decay = AdamWeightDecay.After,
        BiasCorrection = AdamBiasCorrection.StepSize,
    };

    /// <summary>What weight decay acts on.</summary>
    public AdamWeightDecay Decay { get; init; }

    /// <summary>How the moments' beginning at 0 is made up for.</summary>
    public AdamBiasCorrection BiasCorrection { get; init; }

    /// <summary>Whether eps is added to the second moment before its root is taken: apex's <c>eps_inside_sqrt</c>.</summary>
    public bool EpsInsideSqrt { get; init; }

    /// <summary>The numbers for the native call; the learning rate comes from the device.</summary>
    internal MezzoAdamDesc ToDescriptor() => new()
    {
        Lr = 1,
        Beta1 = Beta1,
        Beta2 = Beta2,
        Eps = Eps,
        WeightDecay = WeightDecay,
        Decay = (MezzoWeightDecay)Decay,
        BiasCorrection = (MezzoBiasCorrection)BiasCorrection,
        EpsInsideSqrt = EpsInsideSqrt ? 1 : 0,
    };
}
