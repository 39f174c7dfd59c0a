// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Training;

/// <summary>Steps whose gradients are accumulated over micro-batches.</summary>
internal sealed class AccumulationTests : TensorFixture
{
    private const int Steps = 6;

    [Test]
    public void MicroBatches_GiveTheStepOfTheWholeBatch([Values(1, 2, 4)] int count, [Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode)
    {
        var (whole, parts) = (Study(), Study());
        using var trainer = whole.Trainer(new TrainerOptions { Capture = mode });
        var expected = trainer.Run(whole.Loss, Steps).Losses;
        using var accumulating = parts.Trainer(new TrainerOptions { Capture = mode, MicroBatches = count });
        var losses = accumulating.Run(parts.Loss, Repeat(Parts(parts, count))).Losses;

        // f64: the two differ in the order of sums of 64 terms.
        Assert.That(losses, Is.EqualTo(expected).Within(1e-12));
        foreach (var (a, b) in parts.Model.Parameters().Zip(whole.Model.Parameters()))
        {
            Assert.That(Values(a), Is.EqualTo(Values(b)).Within(1e-12));
        }

        Assert.That(accumulating.CaptureStatus.State, Is.EqualTo(mode == CaptureMode.On ? CaptureState.Launching : CaptureState.Off));
    }

    [Test]
    public void Step_OnMicroBatches_IsOneStep()
    {
        var (whole, parts) = (Study(), Study());
        using var trainer = whole.Trainer(new TrainerOptions());
        using var accumulating = parts.Trainer(new TrainerOptions());
        Assert.That(accumulating.Step(parts.Loss, Parts(parts, 4)).Loss, Is.EqualTo(trainer.Step(whole.Loss).Loss).Within(1e-14));
        Assert.That((parts.Optimizer.StepCount, accumulating.Step(parts.Loss, Parts(parts, 2)).Step), Is.EqualTo((1L, 1L)));
    }

    [Test]
    public void InfInOneMicroBatch_SkipsTheStepOfAll([Values(0, 1, 2)] int bad, [Values(Precision.Float32, Precision.Float16)] Precision precision)
    {
        var study = new LineStudy();
        using var trainer = study.Trainer(new TrainerOptions { Precision = precision, Scaler = new GradScaler(initScale: 8, growthInterval: 1) });
        var batches = Parts(study, 3, size: 16).ToArray();
        Assert.That(trainer.Step(study.Loss, batches).Scale, Is.EqualTo(8));
        Assert.That(trainer.Scaler.GetScale(), Is.EqualTo(16), "one step, one clean step");

        double[] before = Values(study.Model.Parameters().First());
        batches[bad].Target.Fill(double.PositiveInfinity);
        var result = trainer.Step(study.Loss, batches);
        Assert.That((result.Outcome, result.Scale, trainer.Scaler.GetScale()), Is.EqualTo((StepOutcome.Skipped, 16.0, 8.0)));
        Assert.That(Values(study.Model.Parameters().First()), Is.EqualTo(before));
    }

    [Test]
    public void LastStep_OfARun_MayHaveFewerMicroBatches()
    {
        var study = Study();
        using var trainer = study.Trainer(new TrainerOptions { MicroBatches = 3 });
        var history = trainer.Run(study.Loss, Parts(study, 4));
        Assert.That((history.Steps.Count, study.Optimizer.StepCount), Is.EqualTo((2, 2L)));
    }

    [Test]
    public void MicroBatches_TakeTheMemoryOfOne()
    {
        long[] peaks = Array.ConvertAll(new[] { 1, 8 }, count =>
        {
            var model = new Sequential(new Linear(1, 256), new ReLU(), new Linear(256, 1));
            using var optimizer = new Sgd(model.Parameters());
            using var trainer = new Trainer(optimizer, new TrainerOptions { Capture = CaptureMode.Off, LogEvery = 0 });
            var (x, target) = (Tensor.Full([4096, 1], 0.5), Tensor.Full([4096, 1], 1));
            (Tensor Input, Tensor Target)[] batches = [.. Enumerable.Range(0, count).Select(i => (x.Slice(i * 4096 / count, 4096 / count), target.Slice(i * 4096 / count, 4096 / count)))];
            TestDevice.Current.ResetPeakMemory();
            long start = TestDevice.Current.Memory.CurrentBytes;
            trainer.Step((input, y) => Losses.Mse(model.Forward(input), y), batches);
            return TestDevice.Current.Memory.PeakBytes - start;
        });
        Assert.That(peaks[1], Is.LessThan(peaks[0] / 4));
    }

    [Test]
    public void BadMicroBatches_AreRefused()
    {
        var study = new LineStudy();
        using var trainer = study.Trainer(new TrainerOptions());
        Assert.Multiple(() =>
        {
            Assert.That(() => study.Trainer(new TrainerOptions { MicroBatches = 0 }), Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(() => trainer.Step(study.Loss, []), Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(() => trainer.Step(study.Loss, (IReadOnlyList<(Tensor, Tensor)>)null!), Throws.ArgumentNullException);
        });
        using var accumulating = study.Trainer(new TrainerOptions { MicroBatches = 2 });
        IReadOnlyList<Tensor>[] uneven = [[study.X], [study.X, study.Target]];
        Assert.That(
            () => accumulating.Run(inputs => inputs[0].Sum(), uneven),
            Throws.ArgumentException.With.Message.EqualTo("The micro-batches of a step differ in their number of tensors."));
    }

    private static LineStudy Study()
    {
        RandomSource.SetDefaultSeed(5);
        return new LineStudy(DType.Float64);
    }

    private static IReadOnlyList<(Tensor Input, Tensor Target)> Parts(LineStudy study, int count, int? size = null)
    {
        int length = size ?? LineStudy.Samples / count;
        return [.. Enumerable.Range(0, count).Select(i => (study.X.Slice(i * length, length), study.Target.Slice(i * length, length)))];
    }

    private static IEnumerable<(Tensor Input, Tensor Target)> Repeat(IReadOnlyList<(Tensor Input, Tensor Target)> parts) =>
        Enumerable.Repeat(parts, Steps).SelectMany(batch => batch);
}
