// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class MatMulTests : TensorFixture
{
    [Test]
    public void MatMul_EachTransposition_MatchesFiniteDifference([Values] bool left, [Values] bool right)
    {
        // Both matrices, both batches, one of the two alone.
        foreach (var (a, b) in new (long[], long[])[] { ([], []), ([2], [2]), ([2, 2], []), ([], [3]) })
        {
            Gradients.AssertMatchFiniteDifferences(
                x => x[0].MatMul(x[1], left, right),
                Gradients.IrregularTensor(1, [.. a, .. left ? new[] { 3L, 2 } : [2, 3]]),
                Gradients.IrregularTensor(2, [.. b, .. right ? new[] { 4L, 3 } : [3, 4]]));
        }
    }

    [Test]
    public void MatMul_OfVectors_MatchesFiniteDifference()
    {
        foreach (var (a, b, result) in new (long[], long[], long[])[]
        {
            ([3], [3], []), ([3], [3, 2], [2]), ([2, 3], [3], [2]), ([4, 2, 3], [3], [4, 2]), ([3], [4, 3, 2], [4, 2]),
        })
        {
            var (x, y) = (Gradients.IrregularTensor(1, a), Gradients.IrregularTensor(2, b));
            Assert.That(x.MatMul(y).Shape.ToArray(), Is.EqualTo(result));
            Gradients.AssertMatchFiniteDifferences(inputs => inputs[0].MatMul(inputs[1]), x, y);
        }
    }

    [Test]
    public void MatMul_UsedTwice_AddsUpItsGradients() => Gradients.AssertMatchFiniteDifferences(
        x => x[0].MatMul(x[1]).MatMul(x[1], transposeOther: true).MatMul(x[0]),
        Gradients.IrregularTensor(1, 2, 3, 3),
        Gradients.IrregularTensor(2, 3, 3));

    [TestCase(DType.Float16)]
    [TestCase(DType.BFloat16)]
    public void MatMul_UnderAutocast_RunsInTheHalf(DType dtype)
    {
        var (a, b) = (Tensor.Uniform([2, 4, 3], -1, 1), Tensor.Uniform([3, 5], -1, 1));
        a.RequiresGrad = b.RequiresGrad = true;
        using (Autocast.Enable(dtype))
        {
            var product = a.MatMul(b);
            Assert.That(product.DType, Is.EqualTo(dtype));
            Assert.That(Values(product), Is.EqualTo(Values(a.To(dtype).MatMul(b.To(dtype)))));
            product.To(DType.Float32).Sum().Backward();
        }

        Assert.That((a.Grad!.DType, b.Grad!.DType), Is.EqualTo((DType.Float32, DType.Float32)));
    }

    [TestCase(2)]
    [TestCase(4)]
    public void MatMul_OfShapesThatDoNotFit_NamesThem(long rows) => Assert.That(
        () => Tensor.Zeros([2, 3]).MatMul(Tensor.Zeros([rows, 3])),
        Throws.ArgumentException.With.Message.Contains($"f32[2,3] by f32[{rows},3], expected 3 rows in the second"));

    [Test]
    public void MatMul_OfOtherBatches_OrScalars_IsRefused()
    {
        Assert.That(
            () => Tensor.Zeros([2, 3, 3]).MatMul(Tensor.Zeros([3, 3, 3])),
            Throws.ArgumentException.With.Message.Contains("f32[2,3,3] by f32[3,3,3], expected 3 rows in the second and the same batch or none"));
        Assert.That(() => Tensor.Zeros([]).MatMul(Tensor.Zeros([3])), Throws.ArgumentException.With.Message.Contains("at least one dimension"));
    }
}
