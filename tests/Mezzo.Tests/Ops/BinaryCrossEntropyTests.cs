// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class BinaryCrossEntropyTests : TensorFixture
{
    [Test]
    public void WithLogits_Backward_MatchesFiniteDifference([Values] Reduction reduction, [Values] bool weighted)
    {
        var target = Tensor.Uniform([6, 2], 0, 1, DType.Float64);
        var weight = weighted ? Tensor.Uniform([6, 2], 0.5, 2, DType.Float64) : null;
        var posWeight = weighted ? Tensor.Uniform([2], 0.5, 2, DType.Float64) : null;
        Gradients.AssertMatchFiniteDifferences(
            x => Losses.BinaryCrossEntropyWithLogits(x[0], target, weight, posWeight, reduction), Gradients.IrregularTensor(1, 6, 2));
    }

    [Test]
    public void OfProbabilities_Backward_MatchesFiniteDifference([Values] Reduction reduction)
    {
        var target = Tensor.Uniform([6, 2], 0, 1, DType.Float64);
        Gradients.AssertMatchFiniteDifferences(
            x => Losses.BinaryCrossEntropy(x[0], target, reduction: reduction), Tensor.Uniform([6, 2], 0.2, 0.8, DType.Float64));
    }

    [Test]
    public void OfASigmoid_IsThatOfItsLogits()
    {
        var (logits, target) = (Tensor.Uniform([50], -3, 3, DType.Float64), Tensor.Uniform([50], 0, 1, DType.Float64));
        Assert.That(
            Losses.BinaryCrossEntropy(logits.Sigmoid(), target).Item(),
            Is.EqualTo(Losses.BinaryCrossEntropyWithLogits(logits, target).Item()).Within(1e-12).Percent);
    }

    [TestCase(DType.Float16)]
    [TestCase(DType.BFloat16)]
    public void WithLogits_UnderAutocast_ReadsHalvesAndGivesF32(DType half)
    {
        var logits = Tensor.Uniform([40], -3, 3).To(half);
        logits.RequiresGrad = true;
        var target = Tensor.Uniform([40], 0, 1).To(half);
        Tensor loss;
        OpManifest manifest;
        using (Autocast.Enable(half))
        {
            Tensor? computed = null;
            manifest = OpManifest.Record(() => computed = Losses.BinaryCrossEntropyWithLogits(logits, target));
            loss = computed!;
        }

        loss.Backward();
        double exact = Losses.BinaryCrossEntropyWithLogits(logits.Detach().To(DType.Float64), target.To(DType.Float64)).Item();
        Assert.That(loss.DType, Is.EqualTo(DType.Float32));
        Assert.That(loss.Item(), Is.EqualTo(exact).Within(1e-4).Percent);
        Assert.That(logits.Grad!.DType, Is.EqualTo(half));
        Assert.That(manifest.ToString(), Does.Match($@"binary_cross_entropy.*{half.ShortName()}"), "the logits are not cast");
    }

    [Test]
    public void OfProbabilities_UnderAutocast_PointsToLogits()
    {
        using var autocast = Autocast.Enable(DType.Float16);
        Assert.That(
            () => Losses.BinaryCrossEntropy(Tensor.Full([2], 0.5), Tensor.Zeros([2])),
            Throws.InvalidOperationException.With.Message.Contains("BinaryCrossEntropyWithLogits"));
    }

    [Test]
    public void OfATargetThatRequiresAGradient_IsRefused()
    {
        var target = Tensor.Zeros([2]);
        target.RequiresGrad = true;
        Assert.That(
            () => Losses.BinaryCrossEntropyWithLogits(Tensor.Zeros([2]), target), Throws.TypeOf<NotSupportedException>().With.Message.Contains("target"));
    }
}
