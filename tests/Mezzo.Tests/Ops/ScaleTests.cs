// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class ScaleTests : TensorFixture
{
    [Test]
    public void Scale_Forward_MultipliesByBothFactors()
    {
        var scaled = Tensor.Create([1.5, -2.0], [2]).Scale(2, Tensor.Scalar(8f));
        Assert.That(scaled.ToArray<double>(), Is.EqualTo([24.0, -32.0]));
    }

    [Test]
    public void Scale_Backward_MatchesFiniteDifference()
    {
        var factor = Tensor.Scalar(3f);
        Gradients.AssertMatchFiniteDifferences(x => 0.5 * x[0].Scale(-2, factor), Gradients.IrregularTensor(1, 6));
    }
}
