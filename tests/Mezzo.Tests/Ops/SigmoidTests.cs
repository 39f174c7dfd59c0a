// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class SigmoidTests : TensorFixture
{
    [Test]
    public void Sigmoid_Forward_IsTheFormulas()
    {
        double[] inputs = [-3, -0.5, 0, 0.25, 2];
        var x = Tensor.Create(inputs, [5]);
        Assert.That(x.Sigmoid().ToArray<double>(), Is.EqualTo(inputs.Select(value => 1 / (1 + Math.Exp(-value)))).Within(1e-12).Percent);
        Assert.That(new Sigmoid().Forward(x).ToArray<double>(), Is.EqualTo(x.Sigmoid().ToArray<double>()));
    }

    [Test]
    public void Sigmoid_Backward_MatchesFiniteDifference() =>
        Gradients.AssertMatchFiniteDifferences(x => x[0].Sigmoid(), Gradients.IrregularTensor(1, 7, 3));

    [TestCase(DType.Float32)]
    [TestCase(DType.Float16)]
    [TestCase(DType.BFloat16)]
    public void Sigmoid_UnderAutocast_RunsInTheDTypeOfItsInput(DType dtype)
    {
        using var autocast = Autocast.Enable(DType.Float16);
        Assert.That(Tensor.Zeros([2], dtype).Sigmoid().DType, Is.EqualTo(dtype));
    }
}
