// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;
using Microsoft.Extensions.Logging;

namespace Mezzo.Tests.Training;

/// <summary>When steps are captured, when not, and what is said about it.</summary>
internal sealed class CaptureStatusTests : CaptureFixture
{
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

    [TestCase(1)]
    [TestCase(2)]
    [TestCase(7)]
    [TestCase(64)]
    [TestCase(null)]
    public void ResultsReadTogether_AreThoseOfEachStepInOrder(int? readEvery)
    {
        var runs = Array.ConvertAll(new int?[] { 1, readEvery }, every =>
        {
            RandomSource.SetDefaultSeed(3);
            var study = new LineStudy();
            var options = new TrainerOptions { Capture = CaptureMode.On, Scaler = RestlessScaler(Precision.Float32), ReadEvery = every, LogEvery = 0 };
            using var trainer = study.Trainer(options);
            var told = new List<StepResult>();
            IEnumerable<(Tensor, Tensor)> batches = Enumerable.Range(0, 30).Select(step =>
            {
                // Which is captured anew between those that are launched.
                trainer.Scaler.GrowthFactor = step == 15 ? 4 : trainer.Scaler.GrowthFactor;
                return (study.X, study.Target);
            });
            var history = trainer.Run(study.Loss, batches, every is null ? null : new SynchronousProgress(told.Add));
            Assert.That(every is null ? history.Steps : told, Is.EqualTo(history.Steps));
            Assert.That(trainer.Step(study.Loss).Step, Is.EqualTo(30));
            return Result(history.Steps, study, trainer);
        });
        AssertSame(runs);
        Assert.That(runs[1].Steps.Select(step => step.Step), Is.EqualTo(Enumerable.Range(0, 30)));
        Assert.That(runs[1].Steps.Count(step => step.Outcome == StepOutcome.Skipped), Is.Positive);
    }

    [Test]
    public void BatchesThatThrow_LeaveNoStepUntold()
    {
        var study = new LineStudy();
        using var trainer = study.Trainer(new TrainerOptions { Capture = CaptureMode.On, ReadEvery = 8 });
        var told = new List<StepResult>();
        IEnumerable<(Tensor, Tensor)> batches = Enumerable.Range(0, 12).Select(step => step < 11 ? (study.X, study.Target) : throw new InvalidDataException());
        Assert.That(() => trainer.Run(study.Loss, batches, new SynchronousProgress(told.Add)), Throws.TypeOf<InvalidDataException>());
        Assert.That(told.Select(result => result.Step), Is.EqualTo(Enumerable.Range(0, 11)));
    }

    [TestCase(0)]
    [TestCase(5000)]
    public void ReadEvery_OutOfItsRange_IsRefused(int readEvery)
    {
        var study = new LineStudy();
        Assert.That(() => study.Trainer(new TrainerOptions { ReadEvery = readEvery }), Throws.TypeOf<ArgumentOutOfRangeException>());
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
            trainer.Scaler.GrowthInterval++;
            trainer.Step(study.Loss);
        }

        Assert.That(log.Count("Captured"), Is.Zero);
        Assert.That(trainer.CaptureStatus, Is.EqualTo(new CaptureStatus(
            CaptureState.Preparing, "a setting has changed since the step before")));
    }

    [Test]
    public void LearningRate_AndSchedule_ThatChange_CostNoCapture()
    {
        var log = new RecordingLogger();
        var study = new LineStudy();
        using var trainer = study.Trainer(Options(CaptureMode.On, log: log));
        for (int step = 0; step < 20; step++)
        {
            study.Optimizer.LearningRate *= 0.99;
            study.Optimizer.Schedule = step < 10 ? null : new LinearSchedule(20, warmupSteps: 5);
            trainer.Step(study.Loss);
        }

        Assert.That((log.Count("Captured"), log.Count("CaptureDropped")), Is.EqualTo((2, 0)));
        Assert.That(trainer.CaptureStatus.State, Is.EqualTo(CaptureState.Launching));
    }

    [Test]
    public void Setting_ChangedOnce_LeadsToOneMoreCapture_AndALine()
    {
        var log = new RecordingLogger();
        var study = new LineStudy();
        using var trainer = study.Trainer(Options(CaptureMode.On, log: log));
        trainer.Run(study.Loss, 5);
        trainer.Scaler.GrowthInterval = 77;
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
}
