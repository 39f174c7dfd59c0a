// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class SoftmaxTests : TensorFixture
{
    [Test]
    public void Softmax_Backward_MatchesFiniteDifferences()
    {
        Gradients.AssertMatchFiniteDifferences(x => x[0].Softmax(), Gradients.IrregularTensor(1, 3, 5));
        Gradients.AssertMatchFiniteDifferences(x => x[0].Softmax(dim: 2), Gradients.IrregularTensor(2, 2, 2, 4));
    }

    [Test]
    public void Softmax_UnderAutocast_ReadsAHalfAsItIs([Values(DType.Float16, DType.BFloat16)] DType half) =>
        HalfInput.AssertReadAsItIs(half, "softmax", x => x.Softmax());

    [TestCase(0)]
    [TestCase(-2)]
    [TestCase(2)]
    public void Softmax_OfAnotherDimension_IsRefused(int dim) => Assert.That(
        () => Tensor.Zeros([2, 3]).Softmax(dim),
        Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.StartsWith($"softmax: dim is {dim}, expected the last dimension, -1 or 1 for f32[2,3]."));
}
