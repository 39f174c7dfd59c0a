// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class SumTests : TensorFixture
{
    [Test]
    public void Sum_Forward_AddsAllElements() =>
        Assert.That(Tensor.Create([1.0, 2.0, 3.5], [3]).Sum().Item(), Is.EqualTo(6.5));

    [Test]
    public void Sum_Backward_MatchesFiniteDifference() =>
        Gradients.AssertMatchFiniteDifferences(x => x[0].Sum(), Gradients.IrregularTensor(1, 4, 3));

    [Test]
    public void Sum_OfHalves_IsF32()
    {
        var sum = Tensor.Full([300], 300, DType.Float16).Sum();
        Assert.That((sum.DType, sum.Item()), Is.EqualTo((DType.Float32, 90000.0)));
    }

    [Test]
    public void Sum_OfHalves_Backward_GivesHalves()
    {
        var x = Tensor.Full([3], 1, DType.BFloat16);
        x.RequiresGrad = true;
        (x.Sum() * 2).Backward();
        Assert.That(x.Grad!.ToArray<BFloat16>(), Is.All.EqualTo((BFloat16)2f));
    }
}
