// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;
using Microsoft.Extensions.Logging;

namespace Mezzo.Tests.Training;

/// <summary>Steps that are captured against the same steps run one op after the other, bit by bit.</summary>
internal sealed class CaptureTests : TensorFixture
{
    private const int Steps = 50;

    /// <summary>What a person may do between two steps.</summary>
    private static IEnumerable<TestCaseData> Interventions()
    {
        TestCaseData Case(string name, int every, Action<LineStudy, Trainer> act) =>
            new TestCaseData(every, act).SetArgDisplayNames(name);
        yield return Case("set the learning rate", 10, (study, _) => study.Optimizer.LearningRate *= 0.9);
        yield return Case("set the learning rate before each step", 1, (study, _) => study.Optimizer.LearningRate *= 0.99);
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
            _ => GradScaler.Static(1024),
        }));
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
    public void LossFunction_IsCalledUntilItsStepIsLaunched()
    {
        var study = new LineStudy();
        int calls = 0;
        using var trainer = study.Trainer(Options(CaptureMode.On));
        trainer.Run(() => { calls++; return study.Loss(); }, 10);
        Assert.That(calls, Is.EqualTo(3), "op by op, captured, captured again");
    }

    [Test]
    public void Status_TellsHowFarTheStepIs()
    {
        var study = new LineStudy();
        using var trainer = study.Trainer(Options(CaptureMode.On));
        var states = new List<CaptureState> { trainer.CaptureStatus.State };
        for (int step = 0; step < 4; step++)
        {
            trainer.Step(study.Loss);
            states.Add(trainer.CaptureStatus.State);
        }

        Assert.That(states, Is.EqualTo(new[]
        {
            CaptureState.Preparing, CaptureState.Preparing, CaptureState.Preparing, CaptureState.Launching, CaptureState.Launching,
        }));
        Assert.That(trainer.CaptureStatus.Reason, Does.Match(@"the step is launched as a graph of \d+ ops"));
    }

    [Test]
    public void Auto_CapturesOnCudaAlone()
    {
        var study = new LineStudy();
        using var trainer = study.Trainer(Options(CaptureMode.Auto));
        trainer.Run(study.Loss, 4);
        Assert.That(
            trainer.CaptureStatus.State, Is.EqualTo(TestDevice.Current.Type == DeviceType.Cuda ? CaptureState.Launching : CaptureState.Off));
    }

    [Test]
    public void Off_CapturesNothing()
    {
        var study = new LineStudy();
        var log = new RecordingLogger();
        using var trainer = study.Trainer(Options(CaptureMode.Off, log: log));
        trainer.Run(study.Loss, 4);
        Assert.That((trainer.CaptureStatus.State, log.Entries.Count), Is.EqualTo((CaptureState.Off, 0)));
    }

    /// <summary>Loss functions that cannot be captured, or do not repeat.</summary>
    private static IEnumerable<TestCaseData> Refused()
    {
        TestCaseData Case(string name, string reason, Func<LineStudy, int, Tensor> loss) =>
            new TestCaseData(reason, loss).SetArgDisplayNames(name);
        const string Differ = "two captures of the step differ";
        yield return Case("reads an element", "it copies to the host", (study, _) => study.Loss() * (study.Target.Sum().Item() < 0 ? 0.5 : 1));
        yield return Case("writes elements", "it copies from the host", (study, step) => study.Loss() + Tensor.Scalar((float)step));
        yield return Case("draws", "would repeat the same numbers", (study, _) =>
            study.Loss(study.X + Tensor.Uniform([LineStudy.Samples, 1], random: new RandomSource(5)), study.Target));
        yield return Case("uses another thread", "is being captured by another thread", (study, _) => Task.Run(study.Loss).GetAwaiter().GetResult());
        yield return Case("reads another tensor each time", Differ, (study, step) => study.Loss(step % 2 == 0 ? study.X : study.Target, study.Target));
        yield return Case("multiplies by another number", Differ, (study, step) => study.Loss() * (1.0 / (1 + step)));
        yield return Case("fills with another number", Differ, (study, step) => study.Loss() + Tensor.Full([], step));
        yield return Case("takes another path", Differ, (study, step) => step % 2 == 0 ? study.Loss() : study.Loss() + study.Loss());
        yield return Case("takes another part", Differ, (study, step) => study.Loss(study.X.Slice(step, 8), study.Target.Slice(step, 8)));
        yield return Case("combines other results", Differ, (study, step) =>
        {
            var (a, b) = (study.Loss(), study.Loss() * 0.5);
            return step % 2 == 0 ? a + b : a + a;
        });
    }

    [TestCaseSource(nameof(Refused))]
    public void StepThatDoesNotRepeat_RunsOpByOp_AndSaysWhyOnce(string reason, Func<LineStudy, int, Tensor> loss)
    {
        var log = new RecordingLogger();
        var runs = OfBoth(mode =>
        {
            var study = new LineStudy();
            using var trainer = study.Trainer(Options(mode, Precision.BFloat16, log));
            int step = 0;
            var steps = new List<StepResult>();
            Func<Tensor> function = () => loss(study, step);
            for (; step < 8; step++)
            {
                steps.Add(trainer.Step(function));
            }

            return Result(steps, study, trainer);
        });
        AssertSame(runs);
        Assert.That(runs[1].Status.State, Is.EqualTo(CaptureState.Refused));
        Assert.That(runs[1].Status.Reason, Does.Contain(reason));
        Assert.That(log.Entries.Count(entry => entry.Event.Name == "CaptureRefused" && entry.Line.Contains(reason)), Is.EqualTo(1));
        Assert.That(log.Entries.Single(entry => entry.Event.Name == "CaptureRefused").Event.Id, Is.EqualTo(3));
    }

    [Test]
    public void NewLossFunctionInEachStep_IsNeverCaptured_AndSaysWhyOnce()
    {
        var log = new RecordingLogger();
        var study = new LineStudy();
        using var trainer = study.Trainer(Options(CaptureMode.On, log: log));
        for (int step = 0; step < 10; step++)
        {
            var x = study.X.Slice(step, 8);
            trainer.Step(() => study.Loss(x, study.Target.Slice(0, 8)));
        }

        Assert.That((log.Count("Captured"), log.Count("CaptureRefused")), Is.EqualTo((0, 1)));
        Assert.That(trainer.CaptureStatus, Is.EqualTo(new CaptureStatus(CaptureState.Refused, trainer.CaptureStatus.Reason)));
        Assert.That(trainer.CaptureStatus.Reason, Does.Contain("declare them as inputs of the step"));
        trainer.Run(study.Loss, 4);
        Assert.That(trainer.CaptureStatus.State, Is.EqualTo(CaptureState.Launching), "a function that repeats is captured all the same");
    }

    [Test]
    public void Settings_ThatChangeWithEachStep_CostNoCapture()
    {
        var log = new RecordingLogger();
        var study = new LineStudy();
        using var trainer = study.Trainer(Options(CaptureMode.On, log: log));
        for (int step = 0; step < 10; step++)
        {
            study.Optimizer.LearningRate *= 0.99;
            trainer.Step(study.Loss);
        }

        Assert.That(log.Count("Captured"), Is.Zero);
        Assert.That(trainer.CaptureStatus, Is.EqualTo(new CaptureStatus(
            CaptureState.Preparing, "the learning rate or another setting has changed since the step before")));
    }

    [Test]
    public void LearningRate_ChangedOnce_LeadsToOneMoreCapture_AndALine()
    {
        var log = new RecordingLogger();
        var study = new LineStudy();
        using var trainer = study.Trainer(Options(CaptureMode.On, log: log));
        trainer.Run(study.Loss, 5);
        study.Optimizer.LearningRate = 0.001;
        trainer.Run(study.Loss, 5);
        Assert.That((log.Count("Captured"), log.Count("CaptureDropped")), Is.EqualTo((3, 1)));
        Assert.That(log.Entries.Where(entry => entry.Event.Name != "StepSkipped").Select(entry => entry.Level), Is.All.EqualTo(LogLevel.Debug));
        Assert.That(trainer.CaptureStatus.State, Is.EqualTo(CaptureState.Launching));
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(2)]
    public void LossFunctionThatThrows_InAnyStep_LeavesNoCaptureUnderWay(int failing)
    {
        var study = new LineStudy();
        using var trainer = study.Trainer(Options(CaptureMode.On, Precision.BFloat16));
        var start = TestDevice.Current.Memory;
        bool fails = false;
        Func<Tensor> loss = () =>
        {
            var value = study.Loss();
            return fails ? throw new InvalidDataException("no data") : value;
        };
        trainer.Run(loss, failing);
        fails = true;
        Assert.That(() => trainer.Step(loss), Throws.TypeOf<InvalidDataException>().With.Message.EqualTo("no data"));
        var before = TestDevice.Current.Memory;
        Assert.That(() => trainer.Step(loss), Throws.TypeOf<InvalidDataException>());
        fails = false;
        Assert.Multiple(() =>
        {
            Assert.That(Graph.IsCapturing, Is.False);
            Assert.That(Autocast.Current, Is.Null);
            Assert.That(
                (TestDevice.Current.Memory.CurrentBytes, TestDevice.Current.Memory.GraphBytes), Is.EqualTo((before.CurrentBytes, before.GraphBytes)));
            Assert.That(before.GraphBytes, Is.EqualTo(start.GraphBytes));
            Assert.That(study.X.Relu().ToArray<float>(), Has.Length.EqualTo(LineStudy.Samples));
        });
        trainer.Run(loss, 4);
        Assert.That(trainer.CaptureStatus.State, Is.EqualTo(CaptureState.Launching), trainer.CaptureStatus.Reason);
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

    [Test]
    public void LiveBytes_AreConstant_AndAllGivenBackAtTheEnd([Values] Precision precision)
    {
        Collect();
        var start = TestDevice.Current.Memory;
        TrainAndDispose();
        Collect();
        var end = TestDevice.Current.Memory;
        Assert.That((end.CurrentBytes, end.GraphBytes, end.LiveTensors), Is.EqualTo((start.CurrentBytes, start.GraphBytes, start.LiveTensors)));

        // A frame of its own, so that the scaler, which nobody disposes of, is garbage afterwards.
        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        void TrainAndDispose()
        {
            using var scope = TensorScope.Begin();
            var study = new LineStudy();
            using var trainer = study.Trainer(Options(CaptureMode.On, precision));
            trainer.Run(study.Loss, 10);
            var after10 = TestDevice.Current.Memory;
            trainer.Run(study.Loss, 90);
            var after100 = TestDevice.Current.Memory;
            Assert.That(
                (after100.CurrentBytes, after100.GraphBytes, after100.LiveTensors),
                Is.EqualTo((after10.CurrentBytes, after10.GraphBytes, after10.LiveTensors)));
            Assert.That(after10.GraphBytes, Is.GreaterThan(start.GraphBytes));
            study.Optimizer.Dispose();
            study.Model.Dispose();
        }
    }

    [Test]
    public void PeakBytes_OfCapturedSteps_AreNearThoseOfOthers()
    {
        Collect();
        long[] peaks = OfBoth(mode =>
        {
            using var scope = TensorScope.Begin();
            var study = new LineStudy();
            using var trainer = study.Trainer(Options(mode));
            trainer.Run(study.Loss, 1);
            TestDevice.Current.ResetPeakMemory();
            long before = TestDevice.Current.Memory.CurrentBytes;
            trainer.Run(study.Loss, 10);
            long peak = TestDevice.Current.Memory.PeakBytes - before;
            study.Optimizer.Dispose();
            study.Model.Dispose();
            return peak;
        });

        // A graph's blocks are used again where sizes are equal only.
        Assert.That(peaks[1], Is.InRange(peaks[0], 1.5 * peaks[0]));
    }

    [Test]
    public void GraphsOfManyShapes_AreBounded()
    {
        var study = new LineStudy();
        var log = new RecordingLogger();
        using var trainer = study.Trainer(Options(CaptureMode.On, log: log));
        long start = TestDevice.Current.Memory.GraphBytes;
        long one = 0;
        Func<Tensor, Tensor, Tensor> loss = study.Loss;
        for (int size = 8; size < 16; size++)
        {
            for (int step = 0; step < 3; step++)
            {
                trainer.Step(loss, study.X.Slice(0, size), study.Target.Slice(0, size));
            }

            Assert.That(trainer.CaptureStatus.State, Is.EqualTo(CaptureState.Launching), trainer.CaptureStatus.Reason);
            one = Math.Max(one, TestDevice.Current.Memory.GraphBytes - start);
            one = size == 8 ? one : Math.Min(one, 4 * one);
        }

        Assert.That(log.Count("Captured"), Is.EqualTo(16));
        Assert.That(TestDevice.Current.Memory.GraphBytes - start, Is.LessThanOrEqualTo(one));
    }

    [Test]
    public void MemoryThatGraphsHold_IsGivenUpForAStepThatNeedsIt()
    {
        var log = new RecordingLogger();
        var runs = OfBoth(mode =>
        {
            using var layer = new Linear(64, 64);
            using var adam = new Adam(layer.Parameters());
            using var trainer = new Trainer(adam, Options(mode, log: log));
            Func<Tensor, Tensor> loss = x => layer.Forward(layer.Forward(x).Relu()).Relu().Sum();
            var (small, large) = (Tensor.Full([512, 64], 0.01), Tensor.Full([513, 64], 0.01));
            TestDevice.Current.ResetPeakMemory();
            long before = TestDevice.Current.Memory.PeakBytes;
            trainer.Step(loss, small);

            // Room for one of the two steps, not for both.
            TestDevice.Current.SetMemoryLimit(before + ((TestDevice.Current.Memory.PeakBytes - before) * 3 / 2));
            try
            {
                return Enumerable.Range(0, 40).Select(step => trainer.Step(loss, step / 5 % 2 == 0 ? small : large)).ToArray();
            }
            finally
            {
                TestDevice.Current.SetMemoryLimit(0);
            }
        });
        Assert.That(runs[1], Is.EqualTo(runs[0]));
        Assert.That(log.Entries, Has.Some.Matches<(LogLevel, EventId Event, string Line)>(
            entry => entry.Event.Name == "CaptureRefused" && entry.Line.Contains("not enough memory")));
    }

    [Test]
    public void RefusedSteps_HoldNoMemoryOfAGraph()
    {
        var study = new LineStudy();
        long before = TestDevice.Current.Memory.GraphBytes;
        using var trainer = study.Trainer(Options(CaptureMode.On));
        int step = 0;
        trainer.Run(() => study.Loss() * ++step, 5);
        Assert.That(trainer.CaptureStatus.State, Is.EqualTo(CaptureState.Refused));
        study.Optimizer.ZeroGrad();
        Assert.That(TestDevice.Current.Memory.GraphBytes, Is.EqualTo(before));
    }

    [Test]
    public void Step_InsideACaptureOfOnesOwn_IsRefusedAndLeavesTheTrainerUsable()
    {
        var study = new LineStudy();
        using var trainer = study.Trainer(Options(CaptureMode.Off));
        trainer.Step(study.Loss);
        Assert.That(
            () => Graph.Capture(() => trainer.Step(study.Loss)),
            Throws.TypeOf<MezzoException>().With.Property(nameof(MezzoException.Status)).EqualTo(MezzoStatus.CaptureInvalid));
        Assert.That(() => trainer.Step(study.Loss), Throws.Nothing);
    }

    /// <summary>The same, op by op and captured, from the same seed.</summary>
    private static T[] OfBoth<T>(Converter<CaptureMode, T> run) => Array.ConvertAll([CaptureMode.Off, CaptureMode.On], mode =>
    {
        RandomSource.SetDefaultSeed(3);
        return run(mode);
    });

    private static TrainerOptions Options(
        CaptureMode mode, Precision precision = Precision.Float32, RecordingLogger? log = null, GradScaler? scaler = null) => new()
        {
            Capture = mode,
            Precision = precision,
            Logger = log ?? new RecordingLogger(),
            LogEvery = 0,
            Scaler = scaler,
        };

    /// <summary>A scaler that overflows, backs off and grows several times in a short run of any precision.</summary>
    private static GradScaler RestlessScaler(Precision precision) =>
        new(initScale: precision == Precision.Float16 ? Math.Pow(2, 18) : Math.Pow(2, 127), growthInterval: 3);

    private static Run Train(
        CaptureMode mode, Precision precision, LineStudy study, Action<int, Trainer>? between = null) =>
        Train(mode, precision, study, RestlessScaler(precision), between);

    private static Run Train(
        CaptureMode mode, Precision precision, LineStudy study, GradScaler? scaler, Action<int, Trainer>? between = null)
    {
        using var trainer = study.Trainer(Options(mode, precision, scaler: scaler));
        var steps = new List<StepResult>();
        for (int step = 0; step < Steps; step++)
        {
            steps.Add(trainer.Step(study.Loss));
            between?.Invoke(step, trainer);
        }

        return Result(steps, study, trainer);
    }

    private static Run Result(IReadOnlyList<StepResult> steps, LineStudy study, Trainer trainer) => new(
        steps,
        [.. study.Model.Parameters().Select(Bits)],
        Gradients(study),
        [.. Enum.GetValues<Precision>().Select(precision => Predict(study, precision))],
        study.Optimizer.StepCount,
        trainer.Scaler.StateDict(),
        trainer.CaptureStatus);

    private static string[] Gradients(LineStudy study) =>
        [.. study.Model.Parameters().Select(parameter => parameter.Grad is { } gradient ? Bits(gradient) : "none")];

    private static string Predict(LineStudy study, Precision precision)
    {
        using var scope = TensorScope.Begin();
        using var noGrad = NoGrad.Enter();
        using var autocast = Autocast.Enable(precision);
        return Bits(study.Model.Forward(study.X).To(DType.Float64));
    }

    private static void AssertSame(Run[] runs)
    {
        var (eager, captured) = (runs[0], runs[1]);
        Assert.Multiple(() =>
        {
            Assert.That(captured.Steps, Is.EqualTo(eager.Steps));
            Assert.That(captured.Parameters, Is.EqualTo(eager.Parameters));
            Assert.That(captured.Gradients, Is.EqualTo(eager.Gradients));
            Assert.That(captured.Predictions, Is.EqualTo(eager.Predictions));
            Assert.That((captured.StepCount, captured.Scaler), Is.EqualTo((eager.StepCount, eager.Scaler)));
        });
    }

    private static void Collect()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    private sealed record Run(
        IReadOnlyList<StepResult> Steps,
        string[] Parameters,
        string[] Gradients,
        string[] Predictions,
        long StepCount,
        GradScalerState Scaler,
        CaptureStatus Status);
}
