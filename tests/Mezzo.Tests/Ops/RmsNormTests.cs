// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class RmsNormTests : TensorFixture
{
    [Test]
    public void RmsNorm_Backward_MatchesFiniteDifferences()
    {
        Gradients.AssertMatchFiniteDifferences(x => x[0].RmsNorm([5], x[1]), Gradients.IrregularTensor(1, 3, 5), Gradients.IrregularTensor(2, 5));
        Gradients.AssertMatchFiniteDifferences(x => x[0].RmsNorm([2, 3], eps: 0.1), Gradients.IrregularTensor(4, 2, 2, 3));
    }

    [Test]
    public void RmsNorm_UnderAutocast_ReadsAHalfAsItIs([Values(DType.Float16, DType.BFloat16)] DType half) =>
        HalfInput.AssertReadAsItIs(half, "rms_norm", (x, weight, _) => x.RmsNorm([7], weight));

    [Test]
    public void Module_HasOnesAndTheEpsilonOfTheArithmetic()
    {
        using var layer = new RMSNorm(3, dtype: DType.Float64);
        double[] x = [1e-8, 0, 0];
        double root = Math.Sqrt((x[0] * x[0] / 3) + Math.ScaleB(1, -52));
        Assert.That(layer.NamedParameters().Single().Name, Is.EqualTo("weight"));
        Assert.That(Values(layer.Forward(Tensor.Create(x, [1, 3])))[0], Is.EqualTo(x[0] / root).Within(1e-14));
    }
}
