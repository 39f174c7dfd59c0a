// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Training;

/// <summary>Steps that are tried again at a lower scale.</summary>
internal sealed class RetryTests : TensorFixture
{
    /// <summary>2^100: the scaled loss overflows in f32 unless the scale is below 2^28.</summary>
    private const double Large = 1.2676506002282294e30;

    [Test]
    public void Overflow_IsTriedAgain_UntilItFits([Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode, [Values(1, 2)] int microBatches)
    {
        using var study = new Study();
        using var trainer = study.Trainer(new TrainerOptions { Capture = mode, RetriesOnOverflow = 10, MicroBatches = microBatches });
        var history = trainer.Run(study.Loss, Enumerable.Repeat((study.X, study.X), 4 * microBatches));
        Assert.That(history.Steps.Select(step => (step.Outcome, step.Retries)), Is.EqualTo(new[]
        {
            (StepOutcome.Applied, 3), (StepOutcome.Applied, 0), (StepOutcome.Applied, 0), (StepOutcome.Applied, 0),
        }));
        Assert.That(history.Steps.Select(step => step.Scale), Is.All.EqualTo(Math.Pow(2, 27)));
        Assert.That(study.Sgd.StepCount, Is.EqualTo(4));

        // Of one batch the backward pass alone is made again. Captured are the second step and the third.
        int perStep = microBatches == 1 ? 1 : 2;
        int again = microBatches == 1 ? 0 : 3;
        Assert.That(study.Calls, Is.EqualTo(perStep * (again + (mode == CaptureMode.On ? 3 : 4))));
    }

    [Test]
    public void Overflow_ThatIsNotCuredInTime_SkipsTheStep()
    {
        using var study = new Study();
        using var trainer = study.Trainer(new TrainerOptions { Capture = CaptureMode.Off, RetriesOnOverflow = 2 });
        var steps = trainer.Run(study.Loss, Enumerable.Repeat((study.X, study.X), 2)).Steps;
        Assert.That(
            steps.Select(step => (step.Outcome, step.Retries, step.Scale)),
            Is.EqualTo(new[] { (StepOutcome.Skipped, 2, Math.Pow(2, 28)), (StepOutcome.Applied, 0, Math.Pow(2, 27)) }));
    }

    [Test]
    public void GradientsOfARetry_AreThoseOfAStepAtTheLowerScale()
    {
        double[][] gradients = Array.ConvertAll(new[] { 30, 27 }, exponent =>
        {
            using var study = new Study();
            using var trainer = study.Trainer(new TrainerOptions
            {
                Capture = CaptureMode.Off,
                RetriesOnOverflow = 3,
                Scaler = new GradScaler(initScale: Math.Pow(2, exponent)),
            });
            Assert.That(trainer.Step(study.Loss, study.X, study.X).Outcome, Is.EqualTo(StepOutcome.Applied));
            return OptimizerSteps.Values(study.Sgd.Parameters[0].Grad!);
        });
        Assert.That(gradients[0], Is.EqualTo(gradients[1]));
    }

    [Test]
    public void Overflow_InFloat16_LosesNoStep([Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode)
    {
        var study = new LineStudy();
        using var trainer = study.Trainer(new TrainerOptions
        {
            Precision = Precision.Float16,
            Scaler = new GradScaler(initScale: Math.Pow(2, 30), growthInterval: 3),
            Capture = mode,
            RetriesOnOverflow = 30,
        });
        var steps = trainer.Run(study.Loss, 20).Steps;
        Assert.That(steps.Select(step => step.Outcome), Is.All.EqualTo(StepOutcome.Applied));
        Assert.That(steps.Count(step => step.Retries > 0), Is.GreaterThan(2), "the scale grows too far now and then");
        Assert.That(steps[^1].Loss, Is.LessThan(0.5 * steps[0].Loss));
    }

    [Test]
    public void RunningStatistics_OfStepsTriedAgain_MoveOnce([Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode, [Values(1, 2)] int microBatches)
    {
        var (triedAgain, retries) = Train(maxRetries: 30, exponent: 30);
        var (plain, none) = Train(maxRetries: 0, exponent: 0);
        Assert.That(triedAgain, Is.EqualTo(plain));
        Assert.That(retries.Take(3).Sum(), Is.GreaterThan(0));
        Assert.That(retries.Skip(3).Count(tries => tries > 0), Is.GreaterThan(2), "the scale grows too far now and then, in captured steps too");
        Assert.That(none, Is.All.Zero);

        (string Buffers, int[] Retries) Train(int maxRetries, int exponent)
        {
            using var model = new Sequential(new BatchNorm1d(3), new BatchNorm1d(3, momentum: null));
            using var sgd = new Sgd(model.Parameters(), new SgdOptions { LearningRate = 0 });
            using var trainer = new Trainer(sgd, new TrainerOptions
            {
                Capture = mode,
                MicroBatches = microBatches,
                RetriesOnOverflow = maxRetries,
                Scaler = new GradScaler(initScale: Math.Pow(2, exponent), growthInterval: 2, enabled: maxRetries > 0),
                LogEvery = 0,
            });
            var batches = Enumerable.Range(0, 10 * microBatches).Select(i => Tensor.Uniform([8, 3], random: new RandomSource((ulong)i)));
            var history = trainer.Run((Tensor x, Tensor unused) => model.Forward(x).Sum() * Large, batches.Select(x => (x, x)));
            Assert.That(history.Steps.Select(step => step.Outcome), Is.All.EqualTo(StepOutcome.Applied));
            var buffers = model.Buffers().Select(buffer => buffer.DType == DType.Int64 ? $"{buffer.ToArray<long>()[0]}" : Bits(buffer));
            return (string.Join(' ', buffers), [.. history.Steps.Select(step => step.Retries)]);
        }
    }

    [Test]
    public void ScheduleOfAllSteps_CountsAStepTriedAgain_Once([Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode, [Values(1, 2)] int microBatches)
    {
        using var study = new Study();
        study.Sgd.Groups[0].Schedule = new ExponentialSchedule(0.5);
        study.Sgd.Groups[0].LearningRate = 1e-40;
        study.Sgd.Groups[0].ScheduleSteps = ScheduleSteps.All;
        using var trainer = study.Trainer(new TrainerOptions
        {
            Capture = mode,
            MicroBatches = microBatches,
            RetriesOnOverflow = 10,
            Scaler = new GradScaler(initScale: Math.Pow(2, 30), growthInterval: 2),
        });
        var history = trainer.Run(study.Loss, Enumerable.Repeat((study.X, study.X), 8 * microBatches));
        Assert.That(history.Steps.Skip(3).Sum(step => step.Retries), Is.GreaterThan(0), "launched steps too");
        Assert.That(study.Sgd.Groups[0].NextLearningRate, Is.EqualTo(1e-40 * Math.Pow(0.5, 8)).Within(1e-50));
    }

    [Test]
    public void StatisticsThatAStepMakes_AreLeftAlone([Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode, [Values(1, 2)] int microBatches)
    {
        using var study = new Study();
        using var trainer = study.Trainer(new TrainerOptions
        {
            Capture = mode,
            MicroBatches = microBatches,
            RetriesOnOverflow = 30,
            Scaler = new GradScaler(initScale: Math.Pow(2, 30), growthInterval: 2),
        });
        var x = Tensor.Uniform([8, 3]);
        var history = trainer.Run(
            (Tensor input, Tensor unused) => input.BatchNorm(Tensor.Zeros([3]), Tensor.Full([3], 1), training: true).Sum() + study.Loss(study.X, unused),
            Enumerable.Repeat((x, x), 8 * microBatches));
        Assert.That(history.Steps.Sum(step => step.Retries), Is.GreaterThan(4));
        Assert.That(history.Steps.Select(step => step.Outcome), Is.All.EqualTo(StepOutcome.Applied));
    }

    [Test]
    public void AtTheLowestScale_NothingIsTriedAgain()
    {
        using var study = new Study();
        var policy = ScalerPolicy.Megatron with { InitScale = Math.Pow(2, 29), MinScale = Math.Pow(2, 29) };
        using var trainer = study.Trainer(new TrainerOptions { Capture = CaptureMode.Off, RetriesOnOverflow = 5, Scaler = new GradScaler(policy) });
        var result = trainer.Step(study.Loss, study.X, study.X);
        Assert.That((result.Outcome, result.Retries), Is.EqualTo((StepOutcome.Skipped, 0)));
    }

    [Test]
    public void LossThatIsNotFinite_IsNotTriedAgain_WhateverThePolicyMakesOfNaN()
    {
        using var study = new Study();
        using var trainer = study.Trainer(new TrainerOptions { Capture = CaptureMode.Off, RetriesOnOverflow = 5, Scaler = new GradScaler(ScalerPolicy.DeepSpeed) });
        study.X.Fill(double.NaN);
        var result = trainer.Step(study.Loss, study.X, study.X);
        Assert.That((result.Outcome, result.Retries), Is.EqualTo((StepOutcome.Skipped, 0)));
    }

    [Test]
    public void WhatNoLowerScaleCures_IsNotTriedAgain()
    {
        using var study = new Study();
        using var trainer = study.Trainer(new TrainerOptions { Capture = CaptureMode.Off, RetriesOnOverflow = 5 });
        study.X.Fill(double.NaN);
        var result = trainer.Step(study.Loss, study.X, study.X);
        Assert.That((result.Reason, result.Retries), Is.EqualTo((SkipReason.NotANumber, 0)));

        using var fixedScale = study.Trainer(new TrainerOptions { Capture = CaptureMode.Off, RetriesOnOverflow = 5, Scaler = new GradScaler(ScalerPolicy.Static(Math.Pow(2, 30))) });
        study.X.Fill(1);
        result = fixedScale.Step(study.Loss, study.X, study.X);
        Assert.That((result.Reason, result.Retries), Is.EqualTo((SkipReason.NonFiniteGradients, 0)));
    }

    [Test]
    public void Retries_BelowZero_AreRefused()
    {
        using var study = new Study();
        Assert.That(() => study.Trainer(new TrainerOptions { RetriesOnOverflow = -1 }), Throws.TypeOf<ArgumentOutOfRangeException>());
    }

    /// <summary>One weight, whose scaled gradient overflows at the first scales.</summary>
    private sealed class Study : IDisposable
    {
        private readonly Linear _model = new(1, 1, bias: false);

        public Study()
        {
            Sgd = new Sgd(_model.Parameters(), new SgdOptions { LearningRate = 0 });
            _model.Parameters().Single().Fill(1);
        }

        public Tensor X { get; } = Tensor.Full([1, 1], 1);

        public Sgd Sgd { get; }

        public int Calls { get; private set; }

        public Tensor Loss(Tensor x, Tensor unused)
        {
            Calls++;
            return _model.Forward(x).Sum() * Large;
        }

        public void Dispose()
        {
            Sgd.Dispose();
            _model.Dispose();
        }

        public Trainer Trainer(TrainerOptions options) => new(Sgd, new TrainerOptions
        {
            Capture = options.Capture,
            RetriesOnOverflow = options.RetriesOnOverflow,
            MicroBatches = options.MicroBatches,
            Scaler = options.Scaler ?? new GradScaler(initScale: Math.Pow(2, 30)),
            LogEvery = 0,
        });
    }
}
