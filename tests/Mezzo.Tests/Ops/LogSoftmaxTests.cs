// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class LogSoftmaxTests : TensorFixture
{
    [Test]
    public void LogSoftmax_Backward_MatchesFiniteDifferences()
    {
        Gradients.AssertMatchFiniteDifferences(x => x[0].LogSoftmax(), Gradients.IrregularTensor(1, 3, 5));
        Gradients.AssertMatchFiniteDifferences(x => x[0].LogSoftmax(dim: 2), Gradients.IrregularTensor(2, 2, 2, 4));
    }

    [Test]
    public void LogSoftmax_UnderAutocast_ReadsAHalfAsItIs([Values(DType.Float16, DType.BFloat16)] DType half) =>
        HalfInput.AssertReadAsItIs(half, "log_softmax", x => x.LogSoftmax());

    [TestCase(0)]
    [TestCase(-2)]
    [TestCase(2)]
    public void LogSoftmax_OfAnotherDimension_IsRefused(int dim) => Assert.That(
        () => Tensor.Zeros([2, 3]).LogSoftmax(dim),
        Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.StartsWith($"log_softmax: dim is {dim}, expected the last dimension, -1 or 1 for f32[2,3]."));
}
