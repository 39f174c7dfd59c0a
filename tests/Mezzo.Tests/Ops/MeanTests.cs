// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class MeanTests : TensorFixture
{
    [Test]
    public void Mean_Forward_AveragesAllElements() =>
        Assert.That(Tensor.Create([1.0, 2.0, 6.0], [3]).Mean().Item(), Is.EqualTo(3));

    [Test]
    public void Mean_OfHalves_IsF32AndDoesNotOverflowOnTheWay()
    {
        var mean = Tensor.Full([300], 300, DType.Float16).Mean();
        Assert.That((mean.DType, mean.Item()), Is.EqualTo((DType.Float32, 300.0)));
    }

    [Test]
    public void Mean_Backward_MatchesFiniteDifference() =>
        Gradients.AssertMatchFiniteDifferences(x => x[0].Mean(), Gradients.IrregularTensor(1, 4, 3));
}
