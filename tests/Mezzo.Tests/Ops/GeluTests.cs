// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class GeluTests : TensorFixture
{
    [Test]
    public void Gelu_OfTheModule_IsThatOfTheTensor([Values] GeluApproximation approximation)
    {
        var x = Tensor.Uniform([100], -4, 4);
        Assert.That(Bits(new GELU(approximation).Forward(x)), Is.EqualTo(Bits(x.Gelu(approximation))));
    }

    [Test]
    public void Gelu_Approximated_IsNearTheExactOne()
    {
        var x = Tensor.Uniform([1000], -6, 6, DType.Float64);
        double[] approximated = x.Gelu(GeluApproximation.Tanh).ToArray<double>();
        Assert.That(approximated, Is.EqualTo(x.Gelu().ToArray<double>()).Within(5e-4));
        Assert.That(approximated, Is.Not.EqualTo(x.Gelu().ToArray<double>()).Within(1e-4));
    }

    [Test]
    public void Gelu_Backward_MatchesFiniteDifference([Values] GeluApproximation approximation) =>
        Gradients.AssertMatchFiniteDifferences(x => x[0].Gelu(approximation), Gradients.IrregularTensor(1, 7, 3));

    [TestCase(DType.Float32)]
    [TestCase(DType.Float16)]
    [TestCase(DType.BFloat16)]
    public void Gelu_UnderAutocast_RunsInTheDTypeOfItsInput(DType dtype)
    {
        using var autocast = Autocast.Enable(DType.Float16);
        Assert.That(Tensor.Zeros([2], dtype).Gelu().DType, Is.EqualTo(dtype));
    }
}
