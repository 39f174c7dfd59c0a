// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class ReluTests : TensorFixture
{
    [Test]
    public void Relu_Forward_KeepsNaNAndDropsNegatives()
    {
        var x = Tensor.Create([-1.0, 0.0, 2.5, double.NaN, double.PositiveInfinity, double.NegativeInfinity], [6]);
        Assert.That(x.Relu().ToArray<double>(), Is.EqualTo([0.0, 0.0, 2.5, double.NaN, double.PositiveInfinity, 0.0]));
    }

    [Test]
    public void Relu_Backward_MatchesFiniteDifference() =>
        Gradients.AssertMatchFiniteDifferences(x => x[0].Relu(), Gradients.IrregularTensor(1, 7, 3));

    [Test]
    public void Relu_UnderAutocast_RunsInTheDTypeOfItsInput()
    {
        using var autocast = Autocast.Enable(DType.Float16);
        Assert.Multiple(() =>
        {
            Assert.That(Tensor.Zeros([2]).Relu().DType, Is.EqualTo(DType.Float32));
            Assert.That(Tensor.Zeros([2], DType.BFloat16).Relu().DType, Is.EqualTo(DType.BFloat16));
        });
    }
}
