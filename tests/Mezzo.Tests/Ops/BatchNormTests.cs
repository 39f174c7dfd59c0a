// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class BatchNormTests : TensorFixture
{
    [Test]
    public void BatchNorm_Backward_MatchesFiniteDifferences()
    {
        Gradients.AssertMatchFiniteDifferences(
            x => x[0].BatchNorm(null, null, x[1], x[2], training: true), Gradients.IrregularTensor(1, 5, 3), Gradients.IrregularTensor(2, 3), Gradients.IrregularTensor(3, 3));
        Gradients.AssertMatchFiniteDifferences(x => x[0].BatchNorm(null, null, x[1], eps: 0.1), Gradients.IrregularTensor(4, 2, 3, 4), Gradients.IrregularTensor(5, 3));
    }

    [Test]
    public void BatchNorm_Evaluating_MatchesFiniteDifferences()
    {
        var (mean, variance) = (Gradients.IrregularTensor(7, 3), Tensor.Create([0.5, 1, 2], [3]));
        Gradients.AssertMatchFiniteDifferences(
            x => x[0].BatchNorm(mean, variance, x[1], x[2]), Gradients.IrregularTensor(1, 4, 3, 2), Gradients.IrregularTensor(2, 3), Gradients.IrregularTensor(3, 3));
    }

    [Test]
    public void BatchNorm_UnderAutocast_KeepsTheHalfAndTakesStatisticsInF32([Values(DType.Float16, DType.BFloat16)] DType half)
    {
        using var layer = new BatchNorm1d(4);
        var x = Gradients.IrregularTensor(1, 6, 4).To(half);
        using var autocast = Autocast.Enable(half);
        Tensor output = null!;
        var manifest = OpManifest.Record(() => output = layer.Forward(x));
        Assert.That(manifest.Entries.Single().Signature, Is.EqualTo($"batch_norm {half.ShortName()} f32 f32 -> {half.ShortName()}"));
        using var reference = new BatchNorm1d(4);
        Assert.That(Values(output), Is.EqualTo(Values(reference.Forward(x.To(DType.Float32)).To(half))));
        Assert.That(Values(layer.RunningVar!), Is.EqualTo(Values(reference.RunningVar!)));
    }

    [Test]
    public void BatchNorm_OfOneValueForEachChannel_IsRefusedWhenTraining() => Assert.That(
        () => Tensor.Zeros([1, 3]).BatchNorm(null, null, training: true),
        Throws.ArgumentException.With.Message.EqualTo("Expected more than 1 value per channel when training, got input size f32[1,3]."));
}
