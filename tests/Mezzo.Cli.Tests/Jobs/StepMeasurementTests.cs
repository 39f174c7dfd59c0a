// SPDX-License-Identifier: MIT
using Mezzo.Cli.CommandLine;
using Mezzo.Cli.Jobs.Checkpointing;
using Mezzo.Cli.Jobs.SinCos;

namespace Mezzo.Cli.Tests.Jobs;

/// <summary>A step that the memory does not suffice for.</summary>
public sealed class StepMeasurementTests
{
    private static readonly SinCosOptions Options = new() { Samples = 1024, Hidden = 32, Layers = 16, Device = TestDevice.Current };

    [Test]
    public void StepThatDoesNotFit_IsPlannedFromAPartOfTheSamples_AndFits()
    {
        var device = TestDevice.Current;
        using var scope = TensorScope.Begin();
        using var setup = new SinCosSetup(Options, Precision.Float32);
        using var trainer = new Trainer(setup.Optimizer, new TrainerOptions { Capture = CaptureMode.Off, LogEvery = 0 });
        device.ResetPeakMemory();
        trainer.Step(setup.Loss);
        long before = device.Memory.CurrentBytes;
        long limit = before + ((device.Memory.PeakBytes - before) * 2 / 3);
        device.TrimMemory();
        device.SetMemoryLimit(limit);
        try
        {
            Assert.That(() => trainer.Step(setup.Loss), Throws.TypeOf<MezzoException>().With.Property("Status").EqualTo(MezzoStatus.OutOfMemory));
            var step = StepMeasurement.Of(trainer, device, parts => setup.Loss(setup.Data.Parts(parts)[^1]), Options.Samples);
            Assert.That(step.Parts, Is.EqualTo(2));

            trainer.Checkpoint = CheckpointChoice.Auto.PlanFor(step, "fp32", limit);
            device.ResetPeakMemory();
            trainer.Step(setup.Loss);
            var predicted = step.Predict(trainer.Checkpoint!);
            Assert.That(trainer.Checkpoint!.Difference, Is.Null);
            Assert.That(predicted.PeakBytes, Is.LessThanOrEqualTo(limit));
            Assert.That(device.Memory.PeakBytes, Is.LessThanOrEqualTo(predicted.PeakBytes * 1.01).And.GreaterThan(predicted.PeakBytes * 0.8));

            Assert.That(
                () => CheckpointChoice.Auto.PlanFor(step, "fp32", before),
                Throws.TypeOf<CommandException>().With.Message.Match(@"^--checkpoint: got auto, expected a step that fits the [\d.]+[KM]B that are free: in fp32 it takes at least [\d.]+[KM]B$"));
            Assert.That(
                () => CheckpointChoice.Auto.PlanFor(step, "fp32", null),
                Throws.TypeOf<CommandException>().With.Message.StartsWith("--checkpoint: got auto, expected budget=SIZE: "));
        }
        finally
        {
            device.SetMemoryLimit(0);
        }
    }

    [Test]
    public void StepThatFits_NeedsNoPlan()
    {
        using var scope = TensorScope.Begin();
        using var setup = new SinCosSetup(Options with { Samples = 64 }, Precision.Float32);
        using var trainer = new Trainer(setup.Optimizer, new TrainerOptions { Capture = CaptureMode.Off, LogEvery = 0 });
        var step = StepMeasurement.Of(trainer, TestDevice.Current, parts => setup.Loss(setup.Data.Parts(parts)[^1]), 64);
        Assert.That(step.Parts, Is.EqualTo(1));
        Assert.That(CheckpointChoice.Auto.PlanFor(step, "fp32", freeBytes: null), Is.Null);
    }
}
