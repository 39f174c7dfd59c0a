// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// The rules of a loss scale: where it begins, when it grows and backs off, and between which bounds. Those of other
/// libraries are here by name, and followed step by step; any of their numbers can be changed by <c>with</c>.
/// </summary>
/// <remarks>
/// The scale is a number in f32 on the device, whatever the policy: a library that keeps it in f64 could leave that range.
/// </remarks>
/// <example><code>
/// var scaler = new GradScaler(ScalerPolicy.DeepSpeed with { GrowthInterval = 500 });
/// </code></example>
public sealed record ScalerPolicy
{
    private readonly double _initScale = 65536;
    private readonly double _growthFactor = 2;
    private readonly double _backoffFactor = 0.5;
    private readonly int _growthInterval = 2000;
    private readonly double _minScale;
    private readonly double? _maxScale;
    private readonly int _hysteresis = 1;

    private ScalerPolicy(string name) => Name = name;

    /// <summary><c>torch.amp.GradScaler</c>: from 65536, doubled after 2000 clean steps in a row, halved after each overflow.</summary>
    public static ScalerPolicy Torch { get; } = new("torch");

    /// <summary><c>apex.amp</c>'s dynamic scale (<c>apex.amp.scaler.LossScaler</c>): PyTorch's rules, and no growth above 2^24.</summary>
    public static ScalerPolicy ApexAmp { get; } = new("apex-amp") { MaxScale = 16777216 };

    /// <summary>
    /// <c>apex.contrib.optimizers.FP16_Optimizer</c>: from 65536, doubled after each 1000 clean steps since the last overflow,
    /// halved down to 1.
    /// </summary>
    public static ScalerPolicy ApexFp16Optimizer { get; } = new("apex-fp16-optimizer") { GrowthInterval = 1000, MinScale = 1, Growth = MezzoGrowth.Repeats };

    /// <summary><c>apex</c>'s <c>update_scale_hysteresis</c>: PyTorch's rules, but only the second of two overflows without a clean step between backs off.</summary>
    public static ScalerPolicy ApexHysteresis { get; } = new("apex-hysteresis") { Hysteresis = 2, RefillsOnCleanStep = true };

    /// <summary>
    /// <c>deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler</c> as the engine configures it: from 65536, doubled after 1001
    /// and then each 1000 clean steps, halved at the second overflow since the last growth and at each one then; an overflow
    /// at the smallest scale, 1, is an error.
    /// </summary>
    public static ScalerPolicy DeepSpeed { get; } =
        new("deepspeed") { GrowthInterval = 1000, MinScale = 1, Hysteresis = 2, Growth = MezzoGrowth.RepeatsAfterFirst, ThrowsAtMinScale = true, KeepsScaleOnNaN = false };

    /// <summary>
    /// Megatron-LM's <c>DynamicGradScaler</c>: from 2^32, doubled after 1000 clean steps in a row, halved down to 1 at the second
    /// overflow since the last growth and at each one then.
    /// </summary>
    public static ScalerPolicy Megatron { get; } = new("megatron") { InitScale = 4294967296, GrowthInterval = 1000, MinScale = 1, Hysteresis = 2 };

    /// <summary>No loss scaling at all: every call of the scaler passes through.</summary>
    public static ScalerPolicy Disabled { get; } = new("disabled") { InitScale = 1, IsEnabled = false };

    /// <summary>The policies with a scale that changes.</summary>
    public static IReadOnlyList<ScalerPolicy> Dynamic { get; } = [Torch, ApexAmp, ApexFp16Optimizer, ApexHysteresis, DeepSpeed, Megatron];

    /// <summary>The policy's name, as on a command line: "torch", "apex-amp", ...</summary>
    public string Name { get; }

    /// <summary>First loss scale; finite and above 0 in f32.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to another number.</exception>
    public double InitScale
    {
        get => _initScale;
        init => _initScale = RequirePositive(value, nameof(InitScale));
    }

    /// <summary>
    /// Whether the scale stays what it is after a step that no scale cures: one whose gradients held NaN and no Inf, while
    /// the loss was not finite or the scale was at most 1. None of the libraries does so; they lower it all the same. With
    /// <see cref="DeepSpeed"/> that is what ends a run of NaN, so that it does so here, too.
    /// </summary>
    public bool KeepsScaleOnNaN { get; init; } = true;

    /// <summary>Factor of growth.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to 1 or less, or to a number that is not finite.</exception>
    public double GrowthFactor
    {
        get => _growthFactor;
        init => _growthFactor = double.IsFinite(value) && value > 1 ? value : throw new ArgumentOutOfRangeException(nameof(GrowthFactor), value, "The growth factor must be > 1.0.");
    }

    /// <summary>Factor after a step with Inf or NaN.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set outside (0, 1).</exception>
    public double BackoffFactor
    {
        get => _backoffFactor;
        init => _backoffFactor = value is > 0 and < 1 ? value : throw new ArgumentOutOfRangeException(nameof(BackoffFactor), value, "The backoff factor must be > 0.0 and < 1.0.");
    }

    /// <summary>Clean steps in a row before the scale grows.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set below 1.</exception>
    public int GrowthInterval
    {
        get => _growthInterval;
        init => _growthInterval = value >= 1 ? value : throw new ArgumentOutOfRangeException(nameof(GrowthInterval), value, "The growth interval must be at least 1.");
    }

    /// <summary>What the scale does not back off below; 0 for no floor.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to a number that is neither 0 nor finite and above 0 in f32.</exception>
    public double MinScale
    {
        get => _minScale;
        init => _minScale = value == 0 ? 0 : RequirePositive(value, nameof(MinScale));
    }

    /// <summary>What the scale does not grow above; null for no ceiling, where growth that f32 cannot hold is left out.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to a number that is not finite and above 0 in f32.</exception>
    public double? MaxScale
    {
        get => _maxScale;
        init => _maxScale = value is { } scale ? RequirePositive(scale, nameof(MaxScale)) : null;
    }

    /// <summary>The overflow, counted since hysteresis was granted, at which the scale backs off, as it does at each one then; 1 for the first.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set below 1.</exception>
    public int Hysteresis
    {
        get => _hysteresis;
        init => _hysteresis = value >= 1 ? value : throw new ArgumentOutOfRangeException(nameof(Hysteresis), value, "The hysteresis must be at least 1.");
    }

    /// <summary>
    /// Whether a clean step grants the hysteresis anew, and not only growth: DeepSpeed's <c>consecutive_hysteresis</c>.
    /// </summary>
    public bool RefillsOnCleanStep { get; init; }

    /// <summary>
    /// Whether an overflow at <see cref="MinScale"/> is an error: DeepSpeed's <c>raise_error_at_min_scale</c>. NaN that no scale
    /// cures is none, unless <see cref="KeepsScaleOnNaN"/> is false.
    /// </summary>
    public bool ThrowsAtMinScale { get; init; }

    /// <summary>Whether the scale never changes.</summary>
    public bool IsStatic { get; private init; }

    /// <summary>Whether there is any scaling.</summary>
    public bool IsEnabled { get; private init; } = true;

    /// <summary>Whether the scale changes.</summary>
    internal bool IsDynamic => IsEnabled && !IsStatic;

    /// <summary>How clean steps are counted.</summary>
    internal MezzoGrowth Growth { get; private init; }

    /// <summary>Whether the counters mean what PyTorch's growth tracker means.</summary>
    internal bool CountsAsTorch => Growth == MezzoGrowth.Restarts && Hysteresis == 1;

    /// <summary>
    /// A scale that never changes. Steps with Inf or NaN are skipped like any other's, so with a scale of 1 it is the guard
    /// of training that needs no scaling.
    /// </summary>
    public static ScalerPolicy Static(double scale) => new("static") { InitScale = scale, IsStatic = true };

    /// <summary>The rules as the device follows them.</summary>
    internal MezzoScaleUpdateDesc ToDescriptor() => new()
    {
        GrowthInterval = GrowthInterval,
        GrowthFactor = GrowthFactor,
        BackoffFactor = BackoffFactor,
        MinScale = MinScale,
        MaxScale = MaxScale ?? 0,
        Hysteresis = Hysteresis,
        Growth = Growth,
        Refill = RefillsOnCleanStep ? MezzoHysteresisRefill.OnCleanStep : MezzoHysteresisRefill.OnGrowth,
    };

    /// <summary>Refuses what is no loss scale.</summary>
    internal static double RequirePositive(double scale, string name) =>
        float.IsFinite((float)scale) && (float)scale > 0
            ? scale
            : throw new ArgumentOutOfRangeException(name, scale, "The loss scale must be finite and > 0.0 in f32.");
}
