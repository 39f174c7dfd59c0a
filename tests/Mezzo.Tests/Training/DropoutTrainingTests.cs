// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Training;

/// <summary>Dropout in training steps: which masks they draw.</summary>
internal sealed class DropoutTrainingTests : CaptureFixture
{
    [Test]
    public void CapturedSteps_WithDropout_AreBitIdentical([Values] Precision precision)
    {
        var runs = OfBoth(mode => Train(mode, precision, new LineStudy(dropout: 0.3)));
        AssertSame(runs);
        Assert.That(runs[1].Status.State, Is.EqualTo(CaptureState.Launching), runs[1].Status.Reason);
        Assert.That(runs[1].Steps.Count(step => step.Outcome == StepOutcome.Skipped), Is.Positive);
    }

    [Test]
    public void CapturedSteps_ThatAreReadTogether_AreBitIdentical()
    {
        var runs = OfBoth(mode =>
        {
            var study = new LineStudy(dropout: 0.3);
            using var trainer = study.Trainer(new TrainerOptions { Capture = mode, ReadEvery = 8, MicroBatches = 2, LogEvery = 0 });
            return Result(trainer.Run(study.Loss, Enumerable.Repeat((study.X, study.Target), 40)).Steps, study, trainer);
        });
        AssertSame(runs);
        Assert.That(runs[1].Status.State, Is.EqualTo(CaptureState.Launching), runs[1].Status.Reason);
    }

    [Test]
    public void Masks_DifferFromStepToStep_AndFromCallToCall([Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode, [Values(1, 2)] int microBatches)
    {
        using var study = new MaskStudy();
        using var trainer = study.Trainer(mode);
        var masks = new List<string>();
        var batch = Enumerable.Repeat((study.Ones, study.Ones), microBatches).ToArray();
        for (int step = 0; step < 6; step++)
        {
            trainer.Step(study.Loss, batch);
            masks.AddRange([Bits(study.First), Bits(study.Second)]);
        }

        Assert.That(masks, Is.Unique);
    }

    [Test]
    public void Masks_OfARetry_AreThoseOfTheFirstTry([Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode, [Values(1, 2)] int microBatches)
    {
        string[] masks = Array.ConvertAll([30, 20], exponent =>
        {
            RandomSource.SetDefaultSeed(4);
            using var study = new MaskStudy(factor: Math.Pow(2, 100));
            using var trainer = study.Trainer(mode, exponent);
            var batch = Enumerable.Repeat((study.Ones, study.Ones), microBatches).ToArray();
            return string.Join(' ', Enumerable.Range(0, 5).Select(step =>
            {
                // Of captured steps, the last is launched, and tried again too.
                trainer.Scaler.LoadStateDict(trainer.Scaler.StateDict() with { Scale = Math.Pow(2, step % 4 == 0 ? exponent : 20) });
                var result = trainer.Step(study.Loss, batch);
                Assert.That((result.Outcome, result.Retries > 0), Is.EqualTo((StepOutcome.Applied, exponent == 30 && step % 4 == 0)));
                var gradient = OptimizerSteps.Values(study.Layer.Weight.Grad!).Select(value => value / result.Scale);
                return $"{Bits(study.First)} {Bits(study.Second)} {string.Join(' ', gradient)}";
            }));
        });
        Assert.That(masks[0], Is.EqualTo(masks[1]));
    }

    [Test]
    public void Masks_OfARestoredTrainer_GoOnWhereItStopped([Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode)
    {
        RandomSource.SetDefaultSeed(6);
        using var study = new MaskStudy();
        using var trainer = study.Trainer(mode);
        Run(trainer, 5);
        using var folder = new TemporaryFolder();
        trainer.Save(folder.Path);
        string expected = Run(trainer, 5);

        RandomSource.SetDefaultSeed(7);
        using var resumed = study.Trainer(mode);
        Run(resumed, 5); // draws of its own, which it forgets
        resumed.Resume(folder.Path);
        Assert.That(Run(resumed, 5), Is.EqualTo(expected));

        string Run(Trainer used, int steps) => string.Join(' ', Enumerable.Range(0, steps).Select(_ =>
        {
            used.Step(study.Loss, study.Ones, study.Ones);
            return Bits(study.First) + Bits(study.Second);
        }));
    }

    [Test]
    public void Masks_OfTwoTrainers_Differ()
    {
        using var study = new MaskStudy();
        string[] masks = [.. Enumerable.Range(0, 2).Select(_ =>
        {
            using var trainer = study.Trainer(CaptureMode.Off);
            trainer.Step(study.Loss, study.Ones, study.Ones);
            return Bits(study.First);
        })];
        Assert.That(masks, Is.Unique);
    }

    [Test]
    public void CapturedSteps_FollowEval()
    {
        var runs = OfBoth(mode =>
        {
            var study = new LineStudy(dropout: 0.3);
            return Train(mode, Precision.Float32, study, between: (step, _) => study.Model.Train(step % 20 < 12));
        });
        AssertSame(runs);
    }

    [Test]
    public void Gradient_InAnotherStep_IsRefused()
    {
        using var study = new MaskStudy();
        using var trainer = study.Trainer(CaptureMode.Off);
        var x = Tensor.Full([8], 1);
        x.RequiresGrad = true;
        Tensor? kept = null;
        using var scope = TensorScope.Begin();
        trainer.Step((input, target) =>
        {
            kept ??= x.Dropout();
            return study.Loss(input, target);
        }, study.Ones, study.Ones);
        trainer.Step(study.Loss, study.Ones, study.Ones);
        Assert.That(() => kept!.Backward(Tensor.Full([8], 1)), Throws.InvalidOperationException.With.Message.Contains("another training step"));
    }

    /// <summary>Keeps the masks of the latest step: what two calls of dropout make of ones.</summary>
    private sealed class MaskStudy : IDisposable
    {
        private readonly double _factor;
        private readonly Sgd _optimizer;

        public MaskStudy(double factor = 1)
        {
            _factor = factor;
            Layer.Weight.Fill(1);
            _optimizer = new Sgd(Layer.Parameters(), new SgdOptions { LearningRate = 0 });
        }

        public Linear Layer { get; } = new(64, 1, bias: false);

        public Tensor Ones { get; } = Tensor.Full([1, 64], 1);

        public Tensor First { get; } = Tensor.Zeros([1, 64]);

        public Tensor Second { get; } = Tensor.Zeros([1, 64]);

        public Tensor Loss(Tensor input, Tensor target)
        {
            var (first, second) = (input.Dropout(0.5), input.Dropout(0.5));
            First.CopyFrom(first.Detach());
            Second.CopyFrom(second.Detach());
            return Layer.Forward(first + second).Dropout(0.001).Sum() * _factor;
        }

        public Trainer Trainer(CaptureMode mode, int exponent = 0) => new(_optimizer, new TrainerOptions
        {
            Capture = mode,
            RetriesOnOverflow = 20,
            Scaler = new GradScaler(initScale: Math.Pow(2, exponent), growthInterval: 1000),
            LogEvery = 0,
        });

        public void Dispose()
        {
            _optimizer.Dispose();
            Layer.Dispose();
        }
    }
}
