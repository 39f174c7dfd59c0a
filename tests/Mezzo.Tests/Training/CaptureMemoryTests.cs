// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;
using Microsoft.Extensions.Logging;

namespace Mezzo.Tests.Training;

/// <summary>The memory that captured steps hold.</summary>
internal sealed class CaptureMemoryTests : CaptureFixture
{
    [Test]
    public void LiveBytes_AreConstant_AndAllGivenBackAtTheEnd([Values] Precision precision)
    {
        Garbage.Collect();
        var start = TestDevice.Current.Memory;
        TrainAndDispose();
        Garbage.Collect();
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
        Garbage.Collect();
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
}
