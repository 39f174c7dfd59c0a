// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Training;

internal sealed class TrainerTests : TensorFixture
{
    [Test]
    public void Run_InEveryPrecision_LearnsALine([Values] Precision precision)
    {
        var study = new LineStudy();
        var history = study.Trainer(new TrainerOptions { Precision = precision }).Run(study.Loss, 200);
        Assert.That(history.Losses[^1], Is.LessThan(0.01 * history.Losses[0]));
    }

    [Test]
    public void Run_Repeated_IsBitIdentical([Values] Precision precision)
    {
        double[] first = Losses();
        double[] second = Losses();
        Assert.That(second, Is.EqualTo(first));

        double[] Losses()
        {
            RandomSource.SetDefaultSeed(3);
            var study = new LineStudy();
            return [.. study.Trainer(new TrainerOptions { Precision = precision }).Run(study.Loss, 30).Losses];
        }
    }

    [Test]
    public void Run_WithADisabledScaler_IsBitIdenticalToNone()
    {
        double[] Losses(GradScaler? scaler)
        {
            RandomSource.SetDefaultSeed(3);
            var study = new LineStudy();
            return [.. study.Trainer(new TrainerOptions { Scaler = scaler }).Run(study.Loss, 30).Losses];
        }

        Assert.That(Losses(new GradScaler(enabled: false)), Is.EqualTo(Losses(null)));
    }

    [Test]
    public void Run_KeepsLiveBytesConstant([Values] Precision precision)
    {
        Garbage.Collect();
        var study = new LineStudy();
        var trainer = study.Trainer(new TrainerOptions { Precision = precision });
        trainer.Run(study.Loss, 10);
        var after10 = Device.Default.Memory;
        trainer.Run(study.Loss, 990);
        var after1000 = Device.Default.Memory;
        Assert.That((after1000.CurrentBytes, after1000.LiveTensors), Is.EqualTo((after10.CurrentBytes, after10.LiveTensors)));
    }

    [TestCase(double.NaN, SkipReason.NotANumber)]
    [TestCase(double.PositiveInfinity, SkipReason.NonFiniteGradients)]
    public void Step_OnBadData_IsSkippedAndReported(double bad, SkipReason reason)
    {
        var study = new LineStudy { Target = Tensor.Full([64, 1], bad) };
        var log = new RecordingLogger();
        var trainer = study.Trainer(new TrainerOptions { Logger = log, LogEvery = 0 });
        string before = Bits(study.Model.Parameters().First());
        var result = trainer.Step(study.Loss);
        Assert.Multiple(() =>
        {
            Assert.That((result.Step, result.Outcome, result.Reason), Is.EqualTo((0L, StepOutcome.Skipped, reason)));
            Assert.That(double.IsFinite(result.Loss), Is.False);
            Assert.That(Bits(study.Model.Parameters().First()), Is.EqualTo(before));
            Assert.That(log.Lines, Has.One.StartsWith($"step 0 skipped: {reason}").And.One.Contains("first in 0.weight"));
        });
    }

    [Test]
    public void Step_InFloat16_ReportsTheScaleItRanAt()
    {
        var study = new LineStudy();
        var trainer = study.Trainer(new TrainerOptions { Precision = Precision.Float16, Scaler = new GradScaler(initScale: 8, growthInterval: 1) });
        Assert.That(trainer.Run(study.Loss, 3).Steps.Select(step => step.Scale), Is.EqualTo([8.0, 16.0, 32.0]));
    }

    [Test]
    public void Run_Cancelled_ReturnsWhatWasDone()
    {
        var study = new LineStudy();
        using var source = new CancellationTokenSource();
        var progress = new SynchronousProgress(step =>
        {
            if (step.Step == 4)
            {
                source.Cancel();
            }
        });
        var history = study.Trainer(new TrainerOptions()).Run(study.Loss, 100, progress, source.Token);
        Assert.That((history.Cancelled, history.Steps.Count), Is.EqualTo((true, 5)));
    }

    [Test]
    public void Run_LogsALossEverySoManySteps()
    {
        var study = new LineStudy();
        var log = new RecordingLogger();
        study.Trainer(new TrainerOptions { Logger = log, LogEvery = 4 }).Run(study.Loss, 9);
        var losses = log.Lines.Where(line => line.Contains(": loss ", StringComparison.Ordinal));
        Assert.That(losses.Select(line => line.Split(':')[0]), Is.EqualTo(["step 0", "step 4", "step 8"]));
    }

    [Test]
    public void Step_ThatThrows_LeavesNothingAllocated()
    {
        var study = new LineStudy();
        var trainer = study.Trainer(new TrainerOptions());
        trainer.Step(study.Loss);
        study.Optimizer.ZeroGrad();
        var before = Device.Default.Memory;
        Assert.That(
            () => trainer.Step(() =>
            {
                study.Loss();
                throw new InvalidOperationException("no data");
            }),
            Throws.InvalidOperationException.With.Message.EqualTo("no data"));
        Assert.That(Device.Default.Memory.CurrentBytes, Is.EqualTo(before.CurrentBytes));
        Assert.That(Autocast.Current, Is.Null);
    }
}
