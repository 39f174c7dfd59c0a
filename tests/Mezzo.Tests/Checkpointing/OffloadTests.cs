// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Checkpointing;

/// <summary>Activations in host memory. On the CPU, where no plan would do that, for the same bits and bytes.</summary>
internal sealed class OffloadTests : TensorFixture
{
    private static readonly CopySpeed Instant = new(0, 1e15);

    /// <summary>Takes about as long to copy as small networks take to compute.</summary>
    private static readonly CopySpeed Slow = new(1e-6, 1e9);

    [Test, Pairwise]
    public void MeasuredPeak_IsThePredictedOne([Values] PlannedNet net, [Values] Precision precision, [Values] bool isSlow)
    {
        var device = TestDevice.Current;
        using var study = new PlannedStudy(net, precision);
        Garbage.Collect();
        var plans = Plans(study.Trainer.Profile(study.Loss), isSlow);
        Assert.That(plans.Any(plan => plan.OffloadedBytes > 0) || isSlow);
        Array.ForEach(plans, study.AssertPeakOf);
    }

    /// <summary>Wherever copies are waited for, and fetched.</summary>
    [Test]
    public void MeasuredPeak_IsThePredictedOne_OfCopiesAtRandom([Values] PlannedNet net, [Values] Precision precision)
    {
        var (device, random) = (TestDevice.Current, new Random(5));
        using var study = new PlannedStudy(net, precision);
        Garbage.Collect();
        var curve = study.Trainer.Profile(study.Loss).With(new CopySpeed(1000, 1)).Curve; // so slow that none of its own
        for (int i = 0; i < 12; i++)
        {
            var plan = curve[random.Next(curve.Count)];
            var choices = plan.OffloadChoices(Slow);
            var offloads = new List<Offload>();
            foreach (var (tensor, _) in choices.Candidates.Where(_ => random.Next(2) == 0))
            {
                var positions = choices.PositionsOf(tensor);
                int freed = random.Next(positions.Start.Value, positions.End.Value);
                offloads.Add(new Offload(tensor, freed, random.Next(freed, positions.End.Value)));
            }

            study.AssertPeakOf(plan.With(offloads));
        }
    }

    [Test, Pairwise]
    public void Steps_AreBitIdenticalToThoseWithout(
        [Values] PlannedNet net, [Values] Precision precision, [Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode)
    {
        Assert.That(Train(true), Is.EqualTo(Train(false)));

        string Train(bool isPlanned)
        {
            using var study = new PlannedStudy(net, precision, mode);
            var plans = isPlanned ? Plans(study.Trainer.Profile(study.Loss), isSlow: false) : [];
            var losses = new List<double>();
            for (int step = 0; step < 12; step++)
            {
                // A plan for three steps, so that captured ones are launched.
                study.Trainer.CheckpointPlan = isPlanned ? plans[step / 3 * (plans.Length - 1) / 3] : null;
                losses.Add(study.Trainer.Step(study.Loss).Loss);
            }

            return $"{string.Join(' ', losses.Select(BitConverter.DoubleToInt64Bits))}\n{study.State()}";
        }
    }

    [Test]
    public void Plans_TakeNoMoreTimeForTheSameBytes_AndSomeLess()
    {
        using var study = new PlannedStudy(PlannedNet.Chain, Precision.Float32, repeats: 2);
        var profile = study.Trainer.Profile(study.Loss).With(null);
        var copying = profile.With(Instant);
        Assert.That(copying.Smallest().PredictedPeakBytes, Is.LessThanOrEqualTo(profile.Smallest().PredictedPeakBytes));
        foreach (var plan in profile.Curve.Where(plan => plan.RecomputeSeconds > 0))
        {
            Assert.That(copying.ForBudget(plan.PredictedPeakBytes).PredictedSeconds, Is.LessThanOrEqualTo(plan.PredictedSeconds));
        }

        Assert.That(copying.Curve.Any(plan =>
            plan.OffloadedBytes > 0 && profile.WillFit(plan.PredictedPeakBytes) && plan.PredictedSeconds < profile.ForBudget(plan.PredictedPeakBytes).PredictedSeconds));
    }

    [Test]
    public void CopiesThatNobodyNeeds_AreNotMade()
    {
        using var study = new PlannedStudy(PlannedNet.Chain, Precision.Float32);
        var copying = study.Trainer.Profile(study.Loss).With(Instant);
        Assert.That(copying.Curve.Any(plan => plan.OffloadedBytes > 0));
        Assert.That((copying.Fastest().OffloadedBytes, copying.Fastest().RecomputeSeconds), Is.EqualTo((0L, 0.0)));
        Assert.That(copying.ForBudget(copying.KeepingAll.PredictedPeakBytes).OffloadedBytes, Is.Zero);
    }

    [Test]
    public void CopiesThatTakeForEver_AreNotChosen()
    {
        using var study = new PlannedStudy(PlannedNet.Chain, Precision.Float32);
        var profile = study.Trainer.Profile(study.Loss).With(null);
        var copying = profile.With(new CopySpeed(1000, 1));
        Assert.That(copying.Fastest().OffloadedBytes, Is.Zero);
        Assert.That(copying.ForBudget(profile.Smallest().PredictedPeakBytes).OffloadedBytes, Is.Zero);
    }

    /// <summary>The program may read what lies on the host, and keep it.</summary>
    [Test]
    public void CopiedTensor_HasItsValues_WheneverItIsRead([Values] bool isKept)
    {
        using var first = new Linear(64, 64);
        using var second = new Linear(64, 64);
        using var third = new Linear(64, 64);
        using var x = Gradients.IrregularTensor(4, 64, 64).To(DType.Float32);
        var made = new List<Tensor>();
        var profile = CheckpointProfile.Measure(Loss).With(Instant);
        var plan = profile.Curve.MaxBy(plan => (plan.OffloadedBytes, -plan.Regions))!;
        Assert.That(plan.OffloadedBytes, Is.GreaterThanOrEqualTo(64 * 64 * sizeof(float)));
        float[][] expected;
        using (TensorScope.Begin())
        {
            Loss().Backward();
            expected = [.. made.Select(tensor => tensor.ToArray<float>())];
        }

        float[] gradient = first.Weight.Grad!.ToArray<float>();
        foreach (var parameter in new[] { first, second, third }.SelectMany(layer => layer.Parameters()))
        {
            parameter.ClearGrad();
        }

        using var scope = TensorScope.Begin();
        Tensor loss;
        using (plan.Enter())
        {
            loss = Loss();
        }

        Assert.That(made.Select(tensor => (isKept ? tensor.Keep() : tensor).ToArray<float>()), Is.EqualTo(expected));
        loss.Backward();
        Assert.That(first.Weight.Grad!.ToArray<float>(), Is.EqualTo(gradient));
        if (isKept)
        {
            Assert.That(made.Select(tensor => tensor.ToArray<float>()), Is.EqualTo(expected));
            made.ForEach(tensor => tensor.Dispose());
        }

        Tensor Loss()
        {
            made.Clear();
            made.Add(first.Forward(x).Tanh());
            made.Add(second.Forward(made[0]).Tanh());
            made.Add(third.Forward(made[1]).Tanh());
            return made[2].Sum();
        }
    }

    /// <summary>A step that fails, or differs, while copies are under way leaves nothing behind.</summary>
    [Test]
    public void ForwardPassThatIsBrokenOff_LeavesNoCopyBehind()
    {
        var device = TestDevice.Current;
        using var study = new PlannedStudy(PlannedNet.Chain, Precision.Float32);
        var plan = Plans(study.Trainer.Profile(study.Loss), isSlow: false).MaxBy(plan => plan.OffloadedBytes)!;
        study.ClearGradients();
        long bytes = device.SettledBytes();
        for (int i = 0; i < 3; i++)
        {
            using var scope = TensorScope.Begin();
            using (plan.Enter())
            {
                var flowing = study.Sample;
                foreach (var module in study.Net.Modules().OfType<Linear>().Take(i + 2))
                {
                    flowing = flowing.LinearRelu(module.Weight, module.Bias);
                }
            }

            Assert.That(plan.Difference, Is.Not.Null);
            scope.Dispose();
            Assert.That(device.Memory.CurrentBytes, Is.EqualTo(bytes), "which a copy under way would keep");
        }
        Assert.That(double.IsFinite(study.Trainer.Step(study.Loss).Loss));
    }

    /// <summary>Some plans of a step on a device that copies so fast.</summary>
    private static CheckpointPlan[] Plans(CheckpointProfile profile, bool isSlow)
    {
        var curve = profile.With(isSlow ? Slow : Instant).Curve;
        int step = Math.Max(1, curve.Count / 8);
        return [.. curve.Where((_, i) => i % step == 0 || i == curve.Count - 1)];
    }
}
