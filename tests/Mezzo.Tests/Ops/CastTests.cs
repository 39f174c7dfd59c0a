// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class CastTests : TensorFixture
{
    [Test]
    public void Cast_ToHalf_RoundsAsDotNetDoes()
    {
        float[] values = [1.0009765f, 65504f, 65520f, -3.3e-8f, 6e-5f, float.NaN, float.NegativeInfinity, 1f / 3];
        Assert.That(
            Tensor.Create(values, [8]).To(DType.Float16).ToArray<Half>(),
            Is.EqualTo(values.Select(v => (Half)v)));
    }

    [Test]
    public void Cast_ToBFloat16_RoundsToNearestEven()
    {
        float[] values = [1.00390625f, 1.01171875f, 3.4e38f, 1e-40f, -0f, float.PositiveInfinity, 1f / 3];
        Assert.That(
            Tensor.Create(values, [7]).To(DType.BFloat16).ToArray<BFloat16>(),
            Is.EqualTo(values.Select(v => (BFloat16)v)));
    }

    [Test]
    public void Cast_ToTheSameDType_IsTheTensorItself()
    {
        var x = Tensor.Zeros([2]);
        Assert.That(x.To(DType.Float32), Is.SameAs(x));
    }

    [Test]
    public void Cast_Backward_CastsTheGradientBack()
    {
        var x = Tensor.Create([1f, 2f], [2]);
        x.RequiresGrad = true;
        x.To(DType.Float64).Backward(Tensor.Create([0.1, 0.2], [2]));
        Assert.That(x.Grad!.ToArray<float>(), Is.EqualTo([0.1f, 0.2f]));
    }
}
