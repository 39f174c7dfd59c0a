// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class SliceTests : TensorFixture
{
    [Test]
    public void Slice_TakesRowsWithoutACopy()
    {
        var x = Tensor.Create([1f, 2f, 3f, 4f, 5f, 6f], [3, 2]);
        var part = x.Slice(1, 2);
        Assert.That(part.Shape.ToArray(), Is.EqualTo([2L, 2L]));
        Assert.That(part.ToArray<float>(), Is.EqualTo([3f, 4f, 5f, 6f]));
        part.Fill(0);
        Assert.That(x.ToArray<float>(), Is.EqualTo([1f, 2f, 0f, 0f, 0f, 0f]));
    }

    [Test]
    public void Slice_Backward_MatchesFiniteDifference() => Gradients.AssertMatchFiniteDifferences(
        x => x[0].Slice(0, 2) + x[0].Slice(1, 2), Gradients.IrregularTensor(1, 3, 4));

    [TestCase(-1, 1)]
    [TestCase(2, 2)]
    [TestCase(0, 0)]
    [TestCase(3, 1)]
    public void Slice_BeyondTheLeadingDimension_IsRefused(long start, long length) => Assert.That(
        () => Tensor.Zeros([3, 2]).Slice(start, length), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("f32[3,2]"));
}
