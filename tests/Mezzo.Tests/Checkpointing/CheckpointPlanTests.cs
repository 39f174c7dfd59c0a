// SPDX-License-Identifier: MIT
using Mezzo.Native;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Checkpointing;

/// <summary>Plans: what they predict against what is measured, and that they change nothing.</summary>
internal sealed class CheckpointPlanTests : TensorFixture
{
    [Test]
    public void MeasuredPeak_IsThePredictedOne([Values] PlannedNet net, [Values] Precision precision)
    {
        var device = TestDevice.Current;
        using var study = new PlannedStudy(net, precision);
        SettledBytes(device);
        var profile = study.Trainer.Profile(study.Loss);
        Assert.That(profile.Curve, Has.Count.GreaterThan(1));
        foreach (var plan in Plans(profile))
        {
            study.Trainer.Checkpoint = plan;
            device.ResetPeakMemory();
            study.Trainer.Step(study.Loss);
            Assert.That(plan.Difference, Is.Null);
            Assert.That(device.Memory.PeakBytes, Is.EqualTo(plan.PredictedPeakBytes), $"{plan}");
        }
    }

    [Test]
    public void Steps_OfAllPlans_AreBitIdenticalToThoseWithout(
        [Values] PlannedNet net, [Values] Precision precision, [Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode)
    {
        Assert.That(Train(true), Is.EqualTo(Train(false)));

        string Train(bool isPlanned)
        {
            using var study = new PlannedStudy(net, precision, mode);
            var losses = new List<double>();
            var plans = isPlanned ? Plans(study.Trainer.Profile(study.Loss)) : [];
            for (int step = 0; step < 12; step++)
            {
                // A plan for three steps, so that captured ones are launched.
                study.Trainer.Checkpoint = isPlanned ? plans[step / 3 * (plans.Length - 1) / 3] : null;
                losses.Add(study.Trainer.Step(study.Loss).Loss);
            }

            return $"{string.Join(' ', losses.Select(BitConverter.DoubleToInt64Bits))}\n{study.State()}";
        }
    }

    [Test]
    public void Measuring_LeavesEverythingAsItWas([Values] PlannedNet net)
    {
        var device = TestDevice.Current;
        using var study = new PlannedStudy(net, Precision.Float32);
        study.Trainer.Step(study.Loss);
        var (state, gradients, bytes) = (study.State(), study.Gradients(), SettledBytes(device));
        study.Trainer.Profile(study.Loss);
        Assert.That((study.State(), study.Gradients(), SettledBytes(device)), Is.EqualTo((state, gradients, bytes)));

        // No draw was counted either.
        using var other = new PlannedStudy(net, Precision.Float32);
        other.Trainer.Step(other.Loss);
        Assert.That(study.Trainer.Step(study.Loss).Loss, Is.EqualTo(other.Trainer.Step(other.Loss).Loss));
    }

    [Test]
    public void Budgets_AreKept_OrRefusedWithTheSmallestThatIsPossible()
    {
        var device = TestDevice.Current;
        using var study = new PlannedStudy(PlannedNet.Chain, Precision.Float32);
        study.Trainer.Step(study.Loss);
        var profile = study.Trainer.Profile(study.Loss);
        var (smallest, fastest) = (profile.Smallest(), profile.Fastest());
        Assert.That(smallest.PredictedPeakBytes, Is.LessThan(fastest.PredictedPeakBytes));
        Assert.That(smallest.RecomputeSeconds, Is.GreaterThan(fastest.RecomputeSeconds));
        Assert.That((profile.WillFit(smallest.PredictedPeakBytes), profile.WillFit(smallest.PredictedPeakBytes - 1)), Is.EqualTo((true, false)));
        Assert.That(
            () => profile.ForBudget(smallest.PredictedPeakBytes - 1),
            Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains($"takes {smallest.PredictedPeakBytes} bytes"));
        for (int i = 0; i <= 4; i++)
        {
            long budget = smallest.PredictedPeakBytes + (i * (fastest.PredictedPeakBytes - smallest.PredictedPeakBytes) / 4);
            study.Trainer.Checkpoint = profile.ForBudget(budget);
            device.ResetPeakMemory();
            study.Trainer.Step(study.Loss);
            Assert.That(device.Memory.PeakBytes, Is.LessThanOrEqualTo(budget));
        }
    }

    /// <summary>A step that does not fit can be planned for all the same.</summary>
    [Test]
    public void Step_ThatDoesNotFit_IsMeasured_AndFitsByItsPlan([Values(PlannedNet.Chain, PlannedNet.Residual)] PlannedNet net)
    {
        var device = TestDevice.Current;
        using var study = new PlannedStudy(net, Precision.Float32, repeats: 6);
        study.Trainer.Step(study.Loss);
        var free = study.Trainer.Profile(study.Loss);
        study.Trainer.Checkpoint = null;
        study.ClearGradients();
        device.TrimMemory();
        long limit = (free.Smallest().PredictedPeakBytes + free.Fastest().PredictedPeakBytes) / 2;
        device.SetMemoryLimit(limit);
        try
        {
            Assert.That(() => study.Trainer.Step(study.Loss), Throws.TypeOf<MezzoException>()
                .With.Property("Status").EqualTo(MezzoStatus.OutOfMemory)
                .And.Message.Matches(@"bytes were asked for.* Without a plan its layers save (branch\d+|chain)\.\d+ .*, \d+ others .* MB\. trainer\.Checkpoint = trainer\.Profile\(loss\)\.ForBudget\(\d+\) would fit: .* MB at most, for \d+% more time\.$"));
            study.ClearGradients();
            var profile = study.Trainer.Profile(study.Loss);
            Assert.That(profile.Fastest().PredictedPeakBytes, Is.EqualTo(free.Fastest().PredictedPeakBytes).Within(1).Percent);
            Assert.That(profile.Smallest().PredictedPeakBytes, Is.EqualTo(free.Smallest().PredictedPeakBytes).Within(1).Percent);
            study.Trainer.Checkpoint = profile.ForBudget(limit);
            Assert.That(double.IsFinite(study.Trainer.Step(study.Loss).Loss));
        }
        finally
        {
            device.SetMemoryLimit(0);
        }
    }

    [Test]
    public void Segments_AreFromOneToThePlacesToCutAt()
    {
        using var study = new PlannedStudy(PlannedNet.Chain, Precision.Float32);
        var profile = CheckpointProfile.Measure(study.Loss);
        Assert.That(profile.ForSegments(1).Regions, Is.Zero);
        Assert.That(profile.ForSegments(3).Regions, Is.EqualTo(2));
        Assert.That(() => profile.ForSegments(0), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("must be from 1 to"));
        Assert.That(() => profile.ForSegments(1000), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("must be from 1 to"));
    }

    [Test]
    public void Plan_OfAModelAndASample_ServesForwardPassesOfOnesOwn([Values] PlannedNet net)
    {
        using var study = new PlannedStudy(net, Precision.Float32);
        var profile = CheckpointProfile.Measure(study.Net, study.Sample);
        var plan = CheckpointPlan.ForBudget(study.Net, study.Sample, profile.Smallest().PredictedPeakBytes);
        study.Net.Eval();
        study.Net.Train();
        RandomSource.SetDefaultSeed(1);
        study.Loss().Backward();
        string expected = study.Gradients();
        study.ClearGradients();
        RandomSource.SetDefaultSeed(1);
        Tensor loss;
        using (plan.Enter())
        {
            loss = study.Loss();
        }

        loss.Backward();
        Assert.That(study.Gradients(), Is.EqualTo(expected));
    }

    /// <summary>Right, but not what was planned for.</summary>
    [Test]
    public void StepOfOtherOps_IsComputedRight_AndSaysHowItDiffers()
    {
        using var chain = new PlannedStudy(PlannedNet.Chain, Precision.Float32);
        var plan = chain.Trainer.Profile(chain.Loss).Smallest();
        foreach (var net in new[] { PlannedNet.Residual, PlannedNet.TwoHeads, PlannedNet.Views })
        {
            Assert.That(Train(net, plan), Is.EqualTo(Train(net, null)));
            Assert.That(plan.Difference, Does.Contain("its op"));
        }

        chain.Trainer.Checkpoint = plan;
        chain.Trainer.Step(() => chain.Loss() * 2);
        Assert.That(plan.Difference, Does.StartWith("it has more than the"));
        chain.Trainer.Step(() => chain.Net.Forward(chain.Sample).Sum());
        Assert.That(plan.Difference, Does.Contain("its op").Or.StartWith("it has"));
        chain.Trainer.Step(chain.Loss);
        Assert.That(plan.Difference, Is.Null);

        static string Train(PlannedNet net, CheckpointPlan? plan)
        {
            using var study = new PlannedStudy(net, Precision.Float32);
            study.Trainer.Checkpoint = plan;
            return $"{string.Join(' ', Enumerable.Range(0, 3).Select(_ => study.Trainer.Step(study.Loss).Loss))}\n{study.State()}";
        }
    }

    [Test]
    public void Losses_ThatCannotBePlannedFor_AreRefused()
    {
        using var study = new PlannedStudy(PlannedNet.Chain, Precision.Float32);
        Assert.That(() => CheckpointProfile.Measure(() => Tensor.Zeros([])), Throws.ArgumentException.With.Message.Contains("requires no gradient"));
        Assert.That(() => CheckpointProfile.Measure(() => study.Net.Forward(study.Sample)), Throws.ArgumentException.With.Message.Contains("expected a scalar"));
        int runs = 0;
        Assert.That(
            () => CheckpointProfile.Measure(() => ++runs % 2 == 0 ? study.Loss() : study.Loss() * 2),
            Throws.InvalidOperationException.With.Message.StartsWith("Two runs of the step differ"));
        Assert.That(study.Gradients(), Does.Not.Match("[0-9]"), "gradients were left");
    }

    private static long SettledBytes(Device device)
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return device.Memory.CurrentBytes;
    }

    private static CheckpointPlan[] Plans(CheckpointProfile profile) => [.. profile.Curve, profile.ForSegments(2), profile.ForSegments(3)];
}
