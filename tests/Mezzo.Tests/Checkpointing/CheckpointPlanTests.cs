// SPDX-License-Identifier: MIT
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
        study.Trainer.Step(study.Loss);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var profile = study.Trainer.Profile(study.Loss);
        Assert.That(profile.Curve, Has.Count.GreaterThan(1));
        foreach (var plan in Plans(profile))
        {
            study.Trainer.Checkpoint = plan;
            device.ResetPeakMemory();
            study.Trainer.Step(study.Loss);
            Assert.That(plan.Difference, Is.Null);
            Assert.That(device.Memory.PeakBytes, Is.EqualTo(plan.PredictedPeakBytes).Within(1).Percent, $"{plan}");
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
            for (int step = 0; step < 18; step++)
            {
                // A plan for three steps, so that captured ones are launched.
                study.Trainer.Checkpoint = isPlanned ? plans[step / 3 * (plans.Length - 1) / 5] : null;
                losses.Add(study.Trainer.Step(study.Loss).Loss);
            }

            return $"{string.Join(' ', losses.Select(BitConverter.DoubleToInt64Bits))}\n{study.State()}";
        }
    }

    private static CheckpointPlan[] Plans(CheckpointProfile profile) => [.. profile.Curve, profile.ForSegments(2), profile.ForSegments(3)];
}
