// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class TanhTests : TensorFixture
{
    [Test]
    public void Tanh_Forward_IsTheFormulas()
    {
        double[] inputs = [-3, -0.5, 0, 0.25, 2];
        var x = Tensor.Create(inputs, [5]);
        Assert.That(x.Tanh().ToArray<double>(), Is.EqualTo(inputs.Select(value => Math.Tanh(value))).Within(1e-12).Percent);
        Assert.That(new Tanh().Forward(x).ToArray<double>(), Is.EqualTo(x.Tanh().ToArray<double>()));
    }

    [Test]
    public void Tanh_Backward_MatchesFiniteDifference() =>
        Gradients.AssertMatchFiniteDifferences(x => x[0].Tanh(), Gradients.IrregularTensor(1, 7, 3));

    [TestCase(DType.Float32)]
    [TestCase(DType.Float16)]
    [TestCase(DType.BFloat16)]
    public void Tanh_UnderAutocast_RunsInTheDTypeOfItsInput(DType dtype)
    {
        using var autocast = Autocast.Enable(DType.Float16);
        Assert.That(Tensor.Zeros([2], dtype).Tanh().DType, Is.EqualTo(dtype));
    }
}
