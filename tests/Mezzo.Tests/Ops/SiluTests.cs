// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class SiluTests : TensorFixture
{
    [Test]
    public void Silu_Forward_IsTheFormulas()
    {
        double[] inputs = [-3, -0.5, 0, 0.25, 2];
        var x = Tensor.Create(inputs, [5]);
        Assert.That(x.Silu().ToArray<double>(), Is.EqualTo(inputs.Select(value => value / (1 + Math.Exp(-value)))).Within(1e-12).Percent);
        Assert.That(new SiLU().Forward(x).ToArray<double>(), Is.EqualTo(x.Silu().ToArray<double>()));
    }

    [Test]
    public void Silu_Backward_MatchesFiniteDifference() =>
        Gradients.AssertMatchFiniteDifferences(x => x[0].Silu(), Gradients.IrregularTensor(1, 7, 3));

    [TestCase(DType.Float32)]
    [TestCase(DType.Float16)]
    [TestCase(DType.BFloat16)]
    public void Silu_UnderAutocast_RunsInTheDTypeOfItsInput(DType dtype)
    {
        using var autocast = Autocast.Enable(DType.Float16);
        Assert.That(Tensor.Zeros([2], dtype).Silu().DType, Is.EqualTo(dtype));
    }
}
