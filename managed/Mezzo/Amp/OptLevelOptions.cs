// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>What an <see cref="OptLevel"/> stands for; each property but the level can be changed by <c>with</c>.</summary>
/// <remarks>Source: the properties of <c>apex.amp</c>'s frontend, of the same names, and its checks of which go together.</remarks>
/// <example><code>var options = OptLevelOptions.O2 with { HalfType = DType.BFloat16, MasterWeights = MasterWeights.Remainder };</code></example>
public sealed record OptLevelOptions
{
    private readonly DType _halfType = DType.Float16;

    private OptLevelOptions(OptLevel level) => Level = level;

    /// <summary><see cref="OptLevel.O0"/>.</summary>
    public static OptLevelOptions O0 { get; } = new(OptLevel.O0);

    /// <summary><see cref="OptLevel.O1"/>.</summary>
    public static OptLevelOptions O1 { get; } = new(OptLevel.O1);

    /// <summary><see cref="OptLevel.O2"/>.</summary>
    public static OptLevelOptions O2 { get; } = new(OptLevel.O2) { CastModel = true, KeepBatchNormFloat32 = true, MasterWeights = MasterWeights.Float32 };

    /// <summary><see cref="OptLevel.O3"/>.</summary>
    public static OptLevelOptions O3 { get; } = new(OptLevel.O3) { CastModel = true, KeepBatchNormFloat32 = false };

    /// <summary>The level.</summary>
    public OptLevel Level { get; }

    /// <summary>The 16-bit dtype: Float16, or BFloat16.</summary>
    /// <exception cref="ArgumentException">Set to another dtype.</exception>
    public DType HalfType
    {
        get => _halfType;
        init => _halfType = value.IsHalf() ? value : throw new ArgumentException($"HalfType is {value.ShortName()}, expected f16 or bf16.", nameof(HalfType));
    }

    /// <summary>Whether the model's parameters and inputs are cast to <see cref="HalfType"/>, and its outputs back to f32.</summary>
    public bool CastModel { get; init; }

    /// <summary>Whether batch normalisation keeps its parameters in f32; null where the model is not cast.</summary>
    public bool? KeepBatchNormFloat32 { get; init; }

    /// <summary>What the optimizer updates.</summary>
    public MasterWeights MasterWeights { get; init; }

    /// <summary>
    /// The loss scale; null for the level's: <see cref="ScalerPolicy.ApexAmp"/> for O1 and O2 in f16, a fixed scale of 1 otherwise, as
    /// bf16 has the range of f32.
    /// </summary>
    public ScalerPolicy? LossScale { get; init; }

    /// <summary>Whether ops run under autocast.</summary>
    public bool UsesAutocast => Level == OptLevel.O1;

    /// <summary>In which precision a <see cref="Trainer"/> runs the model, or <see cref="Autocast.Enable(Precision)"/>.</summary>
    public Precision Precision => !UsesAutocast ? Precision.Float32 : HalfType == DType.Float16 ? Precision.Float16 : Precision.BFloat16;

    /// <summary>The rules of the loss scale.</summary>
    internal ScalerPolicy ScalerPolicy =>
        LossScale ?? (Level is OptLevel.O1 or OptLevel.O2 && HalfType == DType.Float16 ? ScalerPolicy.ApexAmp : ScalerPolicy.Static(1));

    /// <summary>The options of a level.</summary>
    public static OptLevelOptions Of(OptLevel level) => level switch
    {
        OptLevel.O0 => O0,
        OptLevel.O1 => O1,
        OptLevel.O2 => O2,
        OptLevel.O3 => O3,
        _ => throw new ArgumentOutOfRangeException(nameof(level), level, "Expected O0, O1, O2 or O3."),
    };

    /// <summary>Refuses what does not go together.</summary>
    internal void Check()
    {
        if (UsesAutocast && (CastModel || KeepBatchNormFloat32 is not null || MasterWeights != MasterWeights.None))
        {
            throw Refusal("casts inputs of ops, so that CastModel, KeepBatchNormFloat32 and MasterWeights must be left as they are");
        }

        if (!CastModel && KeepBatchNormFloat32 is not null)
        {
            throw Refusal("has KeepBatchNormFloat32 without CastModel, which leaves the whole model in f32");
        }

        if (!CastModel && MasterWeights != MasterWeights.None)
        {
            throw Refusal($"has MasterWeights.{MasterWeights} without CastModel: the weights are f32 already");
        }

        if (MasterWeights == MasterWeights.Remainder && HalfType != DType.BFloat16)
        {
            throw Refusal($"has MasterWeights.Remainder with {HalfType.ShortName()}, expected bf16, the upper half of f32");
        }
    }

    private ArgumentException Refusal(string what) => new($"The opt level {Level} {what}.");
}
