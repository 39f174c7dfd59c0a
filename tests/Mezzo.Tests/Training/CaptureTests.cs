// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Training;

/// <summary>Steps that are captured against the same steps run one op after the other, bit by bit.</summary>
internal sealed class CaptureTests : CaptureFixture
{
    /// <summary>What a person may do between two steps.</summary>
    private static IEnumerable<TestCaseData> Interventions()
    {
        TestCaseData Case(string name, int every, Action<LineStudy, Trainer> act) =>
            new TestCaseData(every, act).SetArgDisplayNames(name);
        yield return Case("set the learning rate", 10, (study, _) => study.Optimizer.LearningRate *= 0.9);
        yield return Case("set the learning rate before each step", 1, (study, _) => study.Optimizer.LearningRate *= 0.99);
        yield return Case("set a schedule", 10, (study, trainer) => study.Optimizer.Schedule = new ExponentialSchedule(0.99 - 0.0001 * study.Optimizer.StepCount));
        yield return Case("set which steps a schedule counts", 10, (study, trainer) => (study.Optimizer.Schedule, study.Optimizer.ScheduleSteps) =
            (new ExponentialSchedule(0.99), 1 - study.Optimizer.ScheduleSteps));
        yield return Case("set the growth interval", 10, (_, trainer) => trainer.Scaler.GrowthInterval++);
        yield return Case("load the scaler", 10, (_, trainer) => trainer.Scaler.LoadStateDict(trainer.Scaler.StateDict() with { Scale = 64 }));
        yield return Case("update the scale by hand", 10, (_, trainer) => trainer.Scaler.Update(32));
        yield return Case("freeze and thaw a layer", 10, (study, _) => Toggle(study.Model.Parameters().First()));
        yield return Case("fill a parameter", 7, (study, _) => study.Model.Parameters().First().Fill(0.25));
        yield return Case("load all parameters", 7, (study, _) => study.Model.CopyParametersFrom(new LineStudy().Model));
        yield return Case("fill the data", 7, (study, _) => study.X.Fill(0.125));
        yield return Case("clear the gradients", 7, (study, _) => study.Optimizer.ZeroGrad());
        yield return Case("add to the gradients", 7, (study, _) => InScope(() => study.Loss().Backward()));
        yield return Case("step by hand", 7, (study, _) => InScope(() => StepByHand(study)));
        yield return Case("train on another loss", 7, (study, trainer) => trainer.Step(() => study.Loss() * 0.5));
        yield return Case("predict in bf16", 7, (study, _) => Predict(study, Precision.BFloat16));
        yield return Case("predict in fp16", 7, (study, _) => Predict(study, Precision.Float16));
        yield return Case("predict in fp32", 7, (study, _) => Predict(study, Precision.Float32));
        yield return Case("fail in a step", 7, (_, trainer) => Assert.That(
            () => trainer.Step(() => throw new InvalidDataException()), Throws.TypeOf<InvalidDataException>()));

        static void Toggle(Parameter parameter) => parameter.RequiresGrad = !parameter.RequiresGrad;

        static void StepByHand(LineStudy study)
        {
            study.Optimizer.ZeroGrad();
            study.Loss().Backward();
            study.Optimizer.Step();
        }

        static void InScope(Action action)
        {
            using var scope = TensorScope.Begin();
            action();
        }
    }

    [Test]
    public void CapturedSteps_WithOverflowsAndAChangingScale_AreBitIdentical([Values] Precision precision, [Values(0, 0.1)] double weightDecay)
    {
        var runs = OfBoth(mode => Train(mode, precision, new LineStudy(weightDecay: weightDecay)));
        AssertSame(runs);
        Assert.That(runs[1].Status.State, Is.EqualTo(CaptureState.Launching), runs[1].Status.Reason);
        Assert.That(runs[1].Steps.Count(step => step.Outcome == StepOutcome.Skipped), Is.InRange(2, Steps / 2));
        Assert.That(runs[1].Steps.Select(step => step.Scale).Distinct().Count(), Is.GreaterThan(1));
    }

    [Test]
    public void CapturedSteps_InF64_AreBitIdentical()
    {
        var runs = OfBoth(mode => Train(mode, Precision.Float32, new LineStudy(DType.Float64)));
        AssertSame(runs);
        Assert.That(runs[1].Status.State, Is.EqualTo(CaptureState.Launching), runs[1].Status.Reason);
    }

    [TestCase("none")]
    [TestCase("disabled")]
    [TestCase("static")]
    public void CapturedSteps_WithoutADynamicScaler_AreBitIdentical(string kind)
    {
        var runs = OfBoth(mode => Train(mode, Precision.BFloat16, new LineStudy(), scaler: kind switch
        {
            "none" => null,
            "disabled" => new GradScaler(enabled: false),
            _ => new GradScaler(ScalerPolicy.Static(1024)),
        }));
        AssertSame(runs);
        Assert.That(runs[1].Status.State, Is.EqualTo(CaptureState.Launching), runs[1].Status.Reason);
    }

    [TestCaseSource(typeof(ScalerPolicy), nameof(ScalerPolicy.Dynamic))]
    public void CapturedSteps_WithAPolicysScaler_AreBitIdentical(ScalerPolicy policy)
    {
        var runs = OfBoth(mode => Train(
            mode, Precision.BFloat16, new LineStudy(), scaler: new GradScaler(policy with { InitScale = Math.Pow(2, 127), GrowthInterval = 2 })));
        AssertSame(runs);
        Assert.That(runs[1].Status.State, Is.EqualTo(CaptureState.Launching), runs[1].Status.Reason);
    }

    [TestCaseSource(nameof(Interventions))]
    public void CapturedSteps_WithWhatAPersonDoesInBetween_AreBitIdentical(int every, Action<LineStudy, Trainer> act)
    {
        foreach (var precision in Enum.GetValues<Precision>())
        {
            AssertSame(OfBoth(mode =>
            {
                var study = new LineStudy();
                return Train(mode, precision, study, between: (step, trainer) =>
                {
                    if (step % every == every - 1)
                    {
                        act(study, trainer);
                    }
                });
            }));
        }
    }

    [Test]
    public void DeclaredInputs_MayChangeWithEachStep([Values] Precision precision)
    {
        var log = new RecordingLogger();
        var runs = OfBoth(mode =>
        {
            var study = new LineStudy();
            using var trainer = study.Trainer(Options(mode, precision, log));
            var history = trainer.Run(study.Loss, Batches(study, 32));
            return Result(history.Steps, study, trainer);
        });
        AssertSame(runs);
        Assert.That(runs[1].Status.State, Is.EqualTo(CaptureState.Launching), runs[1].Status.Reason);
        Assert.That(log.Count("Captured"), Is.EqualTo(2));

        static IEnumerable<(Tensor, Tensor)> Batches(LineStudy study, int size)
        {
            for (int step = 0; step < Steps; step++)
            {
                using var scope = TensorScope.Begin();
                int start = step % 2 * size;
                yield return (study.X.Slice(start, size), study.Target.Slice(start, size));
            }
        }
    }

    [Test]
    public void DeclaredInputs_OfSeveralShapes_HaveAGraphEach()
    {
        var log = new RecordingLogger();
        var runs = OfBoth(mode =>
        {
            var study = new LineStudy();
            using var trainer = study.Trainer(Options(mode, Precision.BFloat16, log));
            var steps = new List<StepResult>();
            for (int epoch = 0; epoch < 10; epoch++)
            {
                foreach (int size in new[] { 24, 24, 16 })
                {
                    steps.Add(trainer.Step(inputs => study.Loss(inputs[0], inputs[1]), [study.X.Slice(0, size), study.Target.Slice(0, size)]));
                }
            }

            return Result(steps, study, trainer);
        });
        AssertSame(runs);
        Assert.That(runs[1].Status.State, Is.EqualTo(CaptureState.Launching), runs[1].Status.Reason);
        Assert.That(log.Count("Captured"), Is.EqualTo(4));
    }

    [Test]
    public void DeclaredInput_ThatRequiresAGradient_GetsItsOwn()
    {
        var runs = OfBoth(mode =>
        {
            var study = new LineStudy();
            var input = Tensor.Full([LineStudy.Samples, 1], 0.5);
            input.RequiresGrad = true;
            using var trainer = study.Trainer(Options(mode));
            var steps = new List<StepResult>();
            for (int step = 0; step < 6; step++)
            {
                steps.Add(trainer.Step(x => study.Loss(x, study.Target), input));
            }

            return Result(steps, study, trainer) with { Gradients = [Bits(input.Grad!)] };
        });
        AssertSame(runs);
        Assert.That(runs[1].Status.Reason, Does.Contain("an input requires a gradient"));
    }

    [Test]
    public void LeafThatTheOptimizerDoesNotClear_AddsUpItsGradients([Values] bool clearsEachStep)
    {
        var runs = OfBoth(mode =>
        {
            var study = new LineStudy();
            var bias = Tensor.Full([LineStudy.Samples, 1], 0.1);
            bias.RequiresGrad = true;
            using var trainer = study.Trainer(Options(mode));
            var steps = new List<StepResult>();
            Func<Tensor> loss = () => Losses.Mse(study.Model.Forward(study.X) + bias, study.Target);
            for (int step = 0; step < 12; step++)
            {
                steps.Add(trainer.Step(loss));
                if (step < 11 && (clearsEachStep || step == 7))
                {
                    bias.ClearGrad();
                }
            }

            return Result(steps, study, trainer) with { Gradients = [Bits(bias.Grad!)] };
        });
        AssertSame(runs);
        Assert.That(runs[1].Status.State, Is.EqualTo(CaptureState.Launching), runs[1].Status.Reason);
    }

    [Test]
    public void ParameterThatTheLossDoesNotReach_HasNoGradientAfterTheStep()
    {
        var runs = OfBoth(mode =>
        {
            using var used = new Linear(1, 1);
            using var idle = new Linear(1, 1);
            using var adam = new Adam(used.Parameters().Concat(idle.Parameters()));
            using var trainer = new Trainer(adam, Options(mode));
            var x = Tensor.Full([4, 1], 1);
            Func<Tensor> loss = () => used.Forward(x).Sum();
            for (int step = 0; step < 6; step++)
            {
                idle.Weight.Sum().Backward();
                trainer.Step(loss);
            }

            return (Bits(used.Weight), Bits(idle.Weight), idle.Weight.Grad);
        });
        Assert.That(runs[1], Is.EqualTo(runs[0]));
        Assert.That(runs[1].Grad, Is.Null);
    }

    [Test]
    public void FrozenParameter_ChangedBetweenSteps_IsReadInItsNewHalves()
    {
        var runs = OfBoth(mode =>
        {
            var study = new LineStudy();
            using var frozen = new Linear(1, 1);
            foreach (var parameter in frozen.Parameters())
            {
                parameter.RequiresGrad = false;
            }

            using var trainer = study.Trainer(Options(mode, Precision.BFloat16));
            var steps = new List<StepResult>();
            Func<Tensor> loss = () => study.Loss(frozen.Forward(study.X).To(DType.Float32), study.Target);
            for (int step = 0; step < 12; step++)
            {
                if (step % 5 == 4)
                {
                    frozen.Weight.Fill(1 + (step * 0.01));
                }

                steps.Add(trainer.Step(loss));
            }

            return Result(steps, study, trainer);
        });
        AssertSame(runs);
        Assert.That(runs[1].Status.State, Is.EqualTo(CaptureState.Launching), runs[1].Status.Reason);
    }

    [Test]
    public void StateThatTheLossFunctionKeeps_IsUpdatedByEachLaunch()
    {
        var runs = OfBoth(mode =>
        {
            var study = new LineStudy();
            var sum = Tensor.Zeros([]);
            using var trainer = study.Trainer(Options(mode));
            Func<Tensor> loss = () =>
            {
                var value = study.Loss();
                sum.CopyFrom(sum + value.Detach());
                return value;
            };
            return Result(trainer.Run(loss, 20).Steps, study, trainer) with { Gradients = [Bits(sum)] };
        });
        AssertSame(runs);
        Assert.That(runs[1].Status.State, Is.EqualTo(CaptureState.Launching), runs[1].Status.Reason);
    }

    [Test]
    public void Gradients_AfterALaunch_AreThoseOfTheStep_AndOutliveTheTrainer()
    {
        var study = new LineStudy();
        var trainer = study.Trainer(Options(CaptureMode.On));
        trainer.Run(study.Loss, 10);
        string[] shown = Gradients(study);
        trainer.Dispose();
        Assert.That(Gradients(study), Is.EqualTo(shown));
        study.Optimizer.ZeroGrad();
        Assert.That(study.Model.Parameters().Select(parameter => parameter.Grad), Is.All.Null);
    }
}
