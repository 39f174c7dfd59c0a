// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Checkpointing;
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
        Garbage.Collect();
        var profile = OnDevice(study.Trainer.Profile(study.Loss));
        Assert.That(profile.Curve, Has.Count.GreaterThan(1));
        Array.ForEach(Plans(profile), study.AssertPeakOf);
    }

    /// <summary>From the step before the first capture on, whose memory is laid out by what that step has taken.</summary>
    [Test]
    public void MeasuredPeak_OfCapturedSteps_IsThePredictedOne_ToAPercent([Values] PlannedNet net, [Values] Precision precision)
    {
        var device = TestDevice.Current;
        using var study = new PlannedStudy(net, precision, CaptureMode.On, repeats: 2);
        study.Trainer.Step(study.Loss);
        Garbage.Collect();
        var profile = study.Trainer.Profile(study.Loss);
        var plans = Plans(profile);
        foreach (var plan in new[] { plans[0], plans[plans.Length / 2], profile.ForSegments(3) })
        {
            study.Trainer.CheckpointPlan = plan;
            study.Trainer.Step(study.Loss);
            device.ResetPeakMemory();
            long held = 0;
            for (int step = 0; step < 3; step++)
            {
                study.Trainer.Step(study.Loss);
                held = Math.Max(held, device.Memory.CurrentBytes + device.Memory.GraphBytes);
            }

            // On the CPU the ops of a graph take scratch memory as they run, whatever else the graph keeps.
            Assert.That(study.Trainer.CaptureStatus.State, Is.EqualTo(CaptureState.Launching));
            long most = device.Type == DeviceType.Cpu ? held : device.Memory.PeakBytes;
            Assert.That(most, Is.LessThanOrEqualTo(1.01 * plan.PredictedPeakBytes), $"{plan}");
            Assert.That(device.Memory.PeakBytes, Is.GreaterThanOrEqualTo(0.99 * plan.PredictedPeakBytes), $"{plan}");
        }
    }

    /// <summary>Of steps that may be tried again, which keep what the backward pass has asked for.</summary>
    [Test]
    public void MeasuredPeak_OfStepsThatMayBeTriedAgain_IsThePredictedOne([Values] PlannedNet net)
    {
        var device = TestDevice.Current;
        using var study = new PlannedStudy(net, Precision.Float16, retries: 2);
        study.Trainer.Step(study.Loss); // tried again until the scale fits
        device.SettledBytes();
        var profile = study.Trainer.Profile(study.Loss);
        Array.ForEach(Plans(profile), study.AssertPeakOf);
        Assert.That(study.Trainer.Step(study.Loss).Retries, Is.Zero);
    }

    [Test, Pairwise]
    public void Steps_OfPlansAlongTheCurve_AreBitIdenticalToThoseWithout(
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
                // Four plans from one end to the other, each for three steps, so that captured ones are launched.
                study.Trainer.CheckpointPlan = isPlanned ? plans[step / 3 * (plans.Length - 1) / 3] : null;
                losses.Add(study.Trainer.Step(study.Loss).Loss);
                if (isPlanned && step % 3 == 2)
                {
                    Assert.That(study.Trainer.CaptureStatus.State, Is.EqualTo(mode == CaptureMode.On ? CaptureState.Launching : CaptureState.Off));
                }
            }

            return $"{string.Join(' ', losses.Select(BitConverter.DoubleToInt64Bits))}\n{study.State()}";
        }
    }

    /// <summary>What autograd does not see: a log of the layers, written at the end, and a target that no gradient flows through.</summary>
    [Test]
    public void MeasuredPeak_OfAStepThatReadsItsTensors_IsThePredictedOne([Values] bool isDetached)
    {
        using var study = new PlannedStudy(PlannedNet.Chain, Precision.Float32);
        var layers = study.Net.Modules().OfType<Linear>().ToArray();
        Tensor Loss()
        {
            var made = new List<Tensor> { study.Sample };
            foreach (var layer in layers)
            {
                made.Add(made[^1].LinearRelu(layer.Weight, layer.Bias));
            }

            if (isDetached)
            {
                return Losses.Mse(made[^1], made[2].Detach());
            }

            using (NoGrad.Enter())
            {
                made.ForEach(tensor => tensor.Mean().Item());
            }

            return made[^1].Sum();
        }

        study.Trainer.Step(Loss);
        Garbage.Collect();
        foreach (var plan in OnDevice(study.Trainer.Profile(Loss)).Curve)
        {
            study.AssertPeakOf(plan, Loss);
        }
    }

    [Test]
    public void Measuring_LeavesEverythingAsItWas([Values] PlannedNet net)
    {
        var device = TestDevice.Current;
        using var study = new PlannedStudy(net, Precision.Float32);
        study.Trainer.Step(study.Loss);
        var (state, gradients, bytes) = (study.State(), study.Gradients(), device.SettledBytes());
        study.Trainer.Profile(study.Loss);
        Assert.That((study.State(), study.Gradients(), device.SettledBytes()), Is.EqualTo((state, gradients, bytes)));

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
        var profile = OnDevice(study.Trainer.Profile(study.Loss));
        var (smallest, fastest) = (profile.Smallest(), profile.Fastest());
        Assert.That(smallest.PredictedPeakBytes, Is.LessThan(fastest.PredictedPeakBytes));
        Assert.That(smallest.RecomputeSeconds, Is.GreaterThan(fastest.RecomputeSeconds));
        Assert.That((fastest.ExtraTime, smallest.ExtraTime), Is.EqualTo((0, (smallest.PredictedSeconds / fastest.PredictedSeconds) - 1)).Within(1e-9));
        Assert.That((profile.WillFit(smallest.PredictedPeakBytes), profile.WillFit(smallest.PredictedPeakBytes - 1)), Is.EqualTo((true, false)));
        Assert.That(
            () => profile.ForBudget(smallest.PredictedPeakBytes - 1),
            Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains($"takes {smallest.PredictedPeakBytes} bytes"));
        for (int i = 0; i <= 4; i++)
        {
            long budget = smallest.PredictedPeakBytes + (i * (fastest.PredictedPeakBytes - smallest.PredictedPeakBytes) / 4);
            study.Trainer.CheckpointPlan = profile.ForBudget(budget);
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
        Garbage.Collect();
        var unlimited = study.Trainer.Profile(study.Loss);
        study.ClearGradients();
        device.TrimMemory();
        long limit = (unlimited.Smallest().PredictedPeakBytes + unlimited.Fastest().PredictedPeakBytes) / 2;
        device.SetMemoryLimit(limit);
        device.ResetPeakMemory();
        try
        {
            Assert.That(() => study.Trainer.Step(study.Loss), Throws.TypeOf<MezzoException>()
                .With.Property("Status").EqualTo(MezzoStatus.OutOfMemory)
                .And.Message.Matches(@"bytes were asked for.* Without a plan its layers save (branch\d+|chain)\.\d+ .*, \d+ others .* MB\. trainer\.CheckpointPlan = trainer\.Profile\(\(\) => loss\)\.ForBudget\(\d+\) would fit: .* MB at most, for \d+% more time\.$"));

            // Measured under the limit, where the step runs in small regions, it takes nearly the same.
            study.ClearGradients();
            Garbage.Collect();
            var profile = study.Trainer.Profile(study.Loss);
            Assert.That(profile.Fastest().PredictedPeakBytes, Is.EqualTo(unlimited.Fastest().PredictedPeakBytes).Within(1).Percent);
            Assert.That(profile.Smallest().PredictedPeakBytes, Is.EqualTo(unlimited.Smallest().PredictedPeakBytes).Within(1).Percent);
            study.Trainer.CheckpointPlan = profile.ForBudget(limit);
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
        Garbage.Collect();
        var profile = CheckpointProfile.Measure(study.Net, study.Sample);

        // Each measures anew, and their smallest plans may differ a little.
        var plan = CheckpointPlan.ForBudget(study.Net, study.Sample, profile.Smallest().PredictedPeakBytes * 105 / 100);
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
        Assert.That((plan.Difference, plan.Regions > 0 || plan.OffloadedBytes > 0), Is.EqualTo(((string?)null, true)));
    }

    /// <summary>Also where no region is: norms, GELU and dropout of the residual blocks are made again from what is kept.</summary>
    [Test]
    public void CheapOps_AreDroppedAlone()
    {
        using var study = new PlannedStudy(PlannedNet.Residual, Precision.Float32);
        var profile = study.Trainer.Profile(study.Loss);
        var plan = profile.ForSegments(1);
        Assert.That((plan.Regions, plan.RecomputeSeconds > 0, profile.KeepingAll.RecomputeSeconds), Is.EqualTo((0, true, 0.0)));
        Assert.That(plan.PredictedActivationBytes, Is.LessThan(0.85 * profile.KeepingAll.PredictedActivationBytes));
    }

    [Test]
    public void Budgets_TakeTheFastestPlanWithin()
    {
        using var study = new PlannedStudy(PlannedNet.Chain, Precision.Float32);
        var profile = study.Trainer.Profile(study.Loss);
        foreach (var plan in profile.Curve)
        {
            long budget = plan.PredictedPeakBytes + 1;
            double least = profile.Curve.Where(other => other.PredictedPeakBytes <= budget).Min(other => other.PredictedSeconds);
            Assert.That(profile.ForBudget(budget).PredictedSeconds, Is.EqualTo(least));
        }
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

        chain.Trainer.CheckpointPlan = plan;
        chain.Trainer.Step(() => chain.Net.Forward(chain.Sample).Sum());
        Assert.That(plan.Difference, Does.Contain("its op").Or.StartWith("it has"));
        chain.Trainer.Step(chain.Loss);
        Assert.That(plan.Difference, Is.Null);

        static string Train(PlannedNet net, CheckpointPlan? plan)
        {
            using var study = new PlannedStudy(net, Precision.Float32);
            study.Trainer.CheckpointPlan = plan;
            return $"{string.Join(' ', Enumerable.Range(0, 3).Select(_ => study.Trainer.Step(study.Loss).Loss))}\n{study.State()}";
        }
    }

    [Test]
    public void Measuring_TakesNoRandomNumbers()
    {
        using var study = new PlannedStudy(PlannedNet.Chain, Precision.Float32);
        long streams = RandomSource.Default.StreamsTaken;
        CheckpointProfile.Measure(() => study.Net.Forward(study.Sample + Tensor.Normal(study.Sample.Shape) + Tensor.Uniform(study.Sample.Shape)).Dropout(0.5).Sum());
        Assert.That(RandomSource.Default.StreamsTaken, Is.EqualTo(streams));
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
        Assert.That(
            () => CheckpointProfile.Measure(() => study.Net.Forward(Task.Run(() => study.Net.Forward(study.Sample)).GetAwaiter().GetResult()).Sum()),
            Throws.InvalidOperationException.With.Message.Contains("on another thread"));
        Assert.That(() => CheckpointProfile.Measure(() => null!), Throws.ArgumentException.With.Message.Contains("no loss"));
        if (TestDevice.Current.Type == DeviceType.Cuda)
        {
            Assert.That(
                () => CheckpointProfile.Measure(study.Loss, Device.Cpu), Throws.ArgumentException.With.Message.Contains("expected all of it on cpu"));
        }

        Assert.That(study.Gradients(), Does.Not.Match("[0-9]"), "gradients were left");
    }

    /// <summary>Regions of a plan and those of the program overlap, and neither ends the other.</summary>
    [Test]
    public void Plan_OfAStepWithRegionsOfItsOwn_IsCarriedOutRight()
    {
        Assert.That(Train(isPlanned: true), Is.EqualTo(Train(isPlanned: false)));

        static string Train(bool isPlanned)
        {
            RandomSource.SetDefaultSeed(4);
            Module<Tensor, Tensor>[] parts = [.. Enumerable.Range(0, 8).Select(_ => new Linear(6, 6))];
            using var model = new Sequential(parts);
            using var adam = new Adam(model.Parameters());
            using var trainer = new Trainer(adam, new TrainerOptions { LogEvery = 0, Capture = CaptureMode.Off });
            var x = Gradients.IrregularTensor(1, 32, 6).To(DType.Float32);
            Tensor Loss()
            {
                var flowing = x;
                for (int i = 0; i < parts.Length; i += 4)
                {
                    var (first, second, third, fourth) = (parts[i], parts[i + 1], parts[i + 2], parts[i + 3]);
                    flowing = Checkpoint.Run(taken => third.Forward(second.Forward(first.Forward(taken).Tanh()).Gelu()).Sigmoid(), flowing);
                    flowing = fourth.Forward(flowing).Tanh();
                }

                return flowing.Sum();
            }

            var losses = new List<double>();
            var plans = isPlanned ? Plans(trainer.Profile(Loss)) : [];
            Assert.That(plans.Any(plan => plan.Regions > 0), Is.EqualTo(isPlanned));
            for (int step = 0; step < 8; step++)
            {
                trainer.CheckpointPlan = isPlanned ? plans[step * (plans.Length - 1) / 7] : null;
                losses.Add(trainer.Step(Loss).Loss);
                Assert.That((CheckpointRegion.Current, trainer.CheckpointPlan?.Difference), Is.EqualTo(((CheckpointRegion?)null, (string?)null)));
            }

            return $"{string.Join(' ', losses)} {string.Join(' ', model.Parameters().Select(Bits))}";
        }
    }

    [Test]
    public void FailedForwardPass_UnderAPlan_LeavesNoRegionBehind()
    {
        using var study = new PlannedStudy(PlannedNet.Residual, Precision.Float32);
        foreach (var plan in Plans(CheckpointProfile.Measure(study.Loss)))
        {
            for (int failing = 0; failing < 12; failing++)
            {
                using (new Failer(failing).Install())
                using (plan.Enter()) // which hears of the op first
                {
                    Assert.That(() => study.Loss(), Throws.TypeOf<NotSupportedException>());
                }

                Assert.That(CheckpointRegion.Current, Is.Null);
            }
        }
    }

    [Test]
    public void InPlaceChanges_AndDisposal_UnderAPlan_AreAsWithoutOne()
    {
        var weight = Gradients.IrregularTensor(1, 40, 40);
        weight.RequiresGrad = true;
        var x = Gradients.IrregularTensor(2, 40, 40);
        Tensor Loss()
        {
            var flowing = x.MatMul(weight);
            for (int i = 0; i < 3; i++)
            {
                flowing = flowing.Tanh().Sigmoid().Tanh();
                using var sum = flowing + flowing;
                flowing = sum.Tanh().Tanh();
                var filled = flowing + flowing;
                filled.Fill(0.25);
                flowing = (filled + flowing).Gelu();
            }

            return flowing.Sum();
        }

        Loss().Backward();
        string expected = Bits(weight.Grad!);
        foreach (var plan in Plans(CheckpointProfile.Measure(Loss)))
        {
            weight.ClearGrad();
            Tensor loss;
            using (plan.Enter())
            {
                loss = Loss();
            }

            loss.Backward();
            Assert.That((plan.Difference, Bits(weight.Grad!)), Is.EqualTo(((string?)null, expected)), $"{plan}");
        }
    }

    [Test]
    public void OpThatThrows_AndIsRunAgain_LeavesNoRegionBehind()
    {
        var weight = Gradients.IrregularTensor(1, 40, 40);
        weight.RequiresGrad = true;
        var x = Gradients.IrregularTensor(2, 40, 40);
        Tensor Loss()
        {
            var flowing = x.MatMul(weight);
            for (int i = 0; i < 8; i++)
            {
                flowing = OrAgain(() => i % 2 == 0 ? flowing.Gelu() : flowing.MatMul(weight));
            }

            return flowing.Sum();
        }

        Loss().Backward();
        string expected = Bits(weight.Grad!);
        foreach (var plan in Plans(CheckpointProfile.Measure(Loss)))
        {
            for (int failing = 1; failing < 9; failing++)
            {
                weight.ClearGrad();
                Tensor loss;
                using (new Failer(failing).Install())
                using (plan.Enter()) // which hears of the op first
                {
                    loss = Loss();
                    Assert.That(CheckpointRegion.Current, Is.Null);
                }

                loss.Backward();
                Assert.That((plan.Difference, Bits(weight.Grad!)), Is.EqualTo(($"its op {failing} has thrown", expected)), $"{plan}");
            }
        }

        static Tensor OrAgain(Func<Tensor> op)
        {
            try
            {
                return op();
            }
            catch (NotSupportedException)
            {
                return op();
            }
        }
    }

    [Test]
    public void KeptTensor_StaysAsItIs_WhateverThePlanDrops()
    {
        using var study = new PlannedStudy(PlannedNet.Chain, Precision.Float32);
        Tensor? kept = null;
        Tensor Loss()
        {
            var output = study.Net.Forward(study.Sample);
            kept = Losses.Mse(output, study.Sample).Keep();
            return (kept * 2).Sum();
        }

        study.Trainer.CheckpointPlan = study.Trainer.Profile(Loss).Smallest();
        double loss = study.Trainer.Step(Loss).Loss;
        Assert.That(2 * kept!.Item(), Is.EqualTo(loss));
    }

    [Test]
    public void Measuring_AModelThatIsCheckpointedItself_LeavesItsStatisticsAsTheyWere()
    {
        var norm = new BatchNorm1d(6);
        Module<Tensor, Tensor>[] modules = [new Linear(6, 6), norm, new Dropout(0.5), new Linear(6, 6), new ReLU()];
        var x = Gradients.IrregularTensor(1, 16, 6).To(DType.Float32);
        var random = RandomSource.Default.StreamsTaken;
        CheckpointProfile.Measure(() => Checkpoint.Sequential(modules, 2, x).Sum());
        Assert.That((norm.BatchesTracked!.ToArray<long>()[0], RandomSource.Default.StreamsTaken), Is.EqualTo((0L, random)));
    }

    [Test]
    public void MicroBatches_ArePlannedForOneByOne()
    {
        var device = TestDevice.Current;
        RandomSource.SetDefaultSeed(3);
        using var model = new Sequential([.. Enumerable.Range(0, 6).SelectMany(_ => new Module<Tensor, Tensor>[] { new Linear(24, 24), new ReLU() })]);
        using var adam = new Adam(model.Parameters());
        using var trainer = new Trainer(adam, new TrainerOptions { LogEvery = 0, Capture = CaptureMode.Off });
        var (x, y) = (Gradients.IrregularTensor(1, 64, 24).To(DType.Float32), Gradients.IrregularTensor(2, 64, 24).To(DType.Float32));
        Tensor Loss(Tensor input, Tensor target) => Losses.Mse(model.Forward(input), target);
        trainer.Step(Loss, [(x, y), (x, y), (x, y)]);
        Garbage.Collect();
        foreach (var plan in Plans(trainer.Profile(() => Loss(x, y), microBatches: 3)))
        {
            trainer.CheckpointPlan = plan;
            device.ResetPeakMemory();
            trainer.Step(Loss, [(x, y), (x, y), (x, y)]);
            Assert.That(plan.Difference, Is.Null);
            Assert.That(device.Memory.PeakBytes, Is.EqualTo(plan.PredictedPeakBytes).Within(1).Percent, $"{plan}");
        }
    }

    /// <summary>Throws before the op of this number runs.</summary>
    private sealed class Failer(int at) : TapeObserver
    {
        private int _ops;

        public override void BeforeForward(Operation operation)
        {
            if (_ops++ == at)
            {
                throw new NotSupportedException();
            }
        }
    }

    /// <summary>Without copies to the host: where those cost no time at all, the plan of the fewest bytes alone is left.</summary>
    private static CheckpointProfile OnDevice(CheckpointProfile profile) => profile.With(null);

    /// <summary>The curve, and plans that <see cref="CheckpointProfile.ForSegments"/> makes.</summary>
    private static CheckpointPlan[] Plans(CheckpointProfile profile) => [.. profile.Curve, profile.ForSegments(2), profile.ForSegments(3)];
}
