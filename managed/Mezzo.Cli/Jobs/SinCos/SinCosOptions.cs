// SPDX-License-Identifier: MIT
using Mezzo.Cli.Jobs.Checkpointing;

namespace Mezzo.Cli.Jobs.SinCos;

/// <summary>Which runs the job makes.</summary>
internal enum SinCosPrecision
{
    /// <summary>fp32, then the device's fast 16-bit type.</summary>
    Compare,
    Float32,
    BFloat16,
    Float16,
}

/// <summary>Settings of the sin/cos job.</summary>
internal sealed record SinCosOptions
{
    public SinCosPrecision Precision { get; init; }

    /// <summary>How 16-bit runs use their dtype; null for autocast with this job's own loss scale.</summary>
    public OptLevel? OptLevel { get; init; }

    public int Epochs { get; init; } = 1000;

    public int Samples { get; init; } = 20_000;

    public int Hidden { get; init; } = 150;

    /// <summary>Layers of the trunk.</summary>
    public int Layers { get; init; } = 3;

    public double LearningRate { get; init; } = 0.01;

    public OptimizerChoice Optimizer { get; init; } = OptimizerChoice.All[0];

    /// <summary>Null leaves the optimizer its own.</summary>
    public double? WeightDecay { get; init; }

    /// <summary>Largest norm of all gradients together; null leaves the optimizer its own clipping.</summary>
    public double? MaxGradNorm { get; init; }

    public ScheduleChoice Schedule { get; init; } = ScheduleChoice.All[0];

    /// <summary>Part of the epochs during which the learning rate grows.</summary>
    public double Warmup { get; init; }

    /// <summary>Micro-batches that the gradients of an epoch are accumulated over.</summary>
    public int Accumulate { get; init; } = 1;

    /// <summary>Which activations are computed once more.</summary>
    public CheckpointChoice Checkpoint { get; init; } = CheckpointChoice.None;

    public ulong Seed { get; init; }

    public Device Device { get; init; }

    /// <summary>Whether training steps are captured in a graph.</summary>
    public CaptureMode Capture { get; init; }

    /// <summary>Null leaves 16-bit runs their default: dynamic in fp16, none in bf16. 0 is dynamic, a positive number static.</summary>
    public double? LossScale { get; init; }

    /// <summary>Rules of a dynamic scale; null leaves 16-bit runs their default, PyTorch's in fp16 and none in bf16.</summary>
    public ScalerPolicy? Scaler { get; init; }

    /// <summary>Where the runs are saved, and gone on from.</summary>
    public JobSaving Saving { get; init; } = new();

    /// <summary>How a run uses its precision.</summary>
    public OptLevelOptions LevelOf(Precision precision)
    {
        if (precision == Mezzo.Precision.Float32)
        {
            return OptLevelOptions.O0;
        }

        bool isHalf = precision == Mezzo.Precision.Float16;
        var policy = LossScale is > 0 ? ScalerPolicy.Static(LossScale.Value)
            : LossScale is not null || Scaler is not null || (isHalf && OptLevel is null) ? Scaler ?? ScalerPolicy.Torch
            : null;
        return OptLevelOptions.Of(OptLevel ?? Mezzo.OptLevel.O1) with { HalfType = isHalf ? DType.Float16 : DType.BFloat16, LossScale = policy };
    }

    /// <summary>The precisions to run, in order.</summary>
    public IReadOnlyList<Precision> Runs() => Precision switch
    {
        SinCosPrecision.Float32 => [Mezzo.Precision.Float32],
        SinCosPrecision.BFloat16 => [Mezzo.Precision.BFloat16],
        SinCosPrecision.Float16 => [Mezzo.Precision.Float16],
        _ => [Mezzo.Precision.Float32, Device.FastHalf == DType.Float16 ? Mezzo.Precision.Float16 : Mezzo.Precision.BFloat16],
    };
}
