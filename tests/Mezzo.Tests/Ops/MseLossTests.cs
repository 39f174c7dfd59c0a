// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class MseLossTests : TensorFixture
{
    [TestCase(Reduction.Mean, 2.5)]
    [TestCase(Reduction.Sum, 5.0)]
    public void Mse_Forward_MatchesTheFormula(Reduction reduction, double expected) => Assert.That(
        Losses.Mse(Tensor.Create([1.0, 2.0], [2]), Tensor.Create([3.0, 1.0], [2]), reduction).Item(), Is.EqualTo(expected));

    [TestCase(Reduction.Mean)]
    [TestCase(Reduction.Sum)]
    public void Mse_Backward_MatchesFiniteDifference(Reduction reduction)
    {
        var target = Gradients.IrregularTensor(5, 6, 2);
        Gradients.AssertMatchFiniteDifferences(x => Losses.Mse(x[0], target, reduction), Gradients.IrregularTensor(1, 6, 2));
    }

    [Test]
    public void Mse_ScaledGradient_SurvivesWhereAnUnscaledHalfWouldVanish()
    {
        // 2 * 1e-4 / 20000 = 1e-8 is below half of f16's smallest number, 2^-24; times 2^16 it is not.
        var prediction = Tensor.Full([20000], 1e-4);
        prediction.RequiresGrad = true;
        var half = prediction.To(DType.Float16);
        var scaler = new GradScaler();
        scaler.Scale(Losses.Mse(half.To(DType.Float32), Tensor.Zeros([20000]))).Backward();
        Assert.That(prediction.Grad!.ToArray<float>()[0], Is.EqualTo(1e-8f * 65536).Within(0.1).Percent);
    }

    [Test]
    public void Mse_UnderAutocast_RunsInF32()
    {
        using var autocast = Autocast.Enable(DType.BFloat16);
        var loss = Losses.Mse(Tensor.Full([4], 3, DType.BFloat16), Tensor.Zeros([4]));
        Assert.That((loss.DType, loss.Item()), Is.EqualTo((DType.Float32, 9.0)));
    }

    [Test]
    public void Mse_OfATargetThatRequiresAGradient_IsRefused()
    {
        var target = Tensor.Zeros([2]);
        target.RequiresGrad = true;
        Assert.That(() => Losses.Mse(Tensor.Zeros([2]), target), Throws.TypeOf<NotSupportedException>());
    }
}
