// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class LinearTests : TensorFixture
{
    [TestCase(1, 1, 1)]
    [TestCase(5, 1, 4)]
    [TestCase(5, 4, 1)]
    [TestCase(7, 3, 5)]
    public void Linear_Backward_MatchesFiniteDifference(long rows, long inFeatures, long outFeatures) =>
        Gradients.AssertMatchFiniteDifferences(
            x => x[0].Linear(x[1], x[2]),
            Gradients.IrregularTensor(1, rows, inFeatures),
            Gradients.IrregularTensor(2, outFeatures, inFeatures),
            Gradients.IrregularTensor(3, outFeatures));

    [Test]
    public void LinearRelu_Backward_MatchesFiniteDifference() => Gradients.AssertMatchFiniteDifferences(
        x => x[0].LinearRelu(x[1], x[2]),
        Gradients.IrregularTensor(1, 2, 3, 4),
        Gradients.IrregularTensor(2, 5, 4),
        Gradients.IrregularTensor(3, 5));

    [Test]
    public void Linear_UsedTwice_AddsUpItsGradients() => Gradients.AssertMatchFiniteDifferences(
        x => x[0].LinearRelu(x[1]).Linear(x[1]), Gradients.IrregularTensor(1, 6, 3), Gradients.IrregularTensor(2, 3, 3));

    [Test]
    public void Linear_OfATensorWithItself_MatchesFiniteDifference() =>
        Gradients.AssertMatchFiniteDifferences(x => x[0].Linear(x[0]), Gradients.IrregularTensor(1, 4, 3));

    [Test]
    public void Linear_WhoseBackwardRunsOutOfMemory_LeavesTheGradientsAsTheyWere()
    {
        using var layer = new Linear(300, 400);
        var loss = layer.Forward(Tensor.Uniform([50, 300])).Sum();
        // On the CPU the op's own scratch memory is too much, on CUDA the gradient of the weight.
        long room = Device.Default.Type == DeviceType.Cpu ? 4 * 300 * 400 : 0;
        Device.Default.SetMemoryLimit(Device.Default.Memory.CurrentBytes + 4 * 50 * 400 + room + 1000);
        try
        {
            Assert.That(() => loss.Backward(), Throws.TypeOf<MezzoException>());
        }
        finally
        {
            Device.Default.SetMemoryLimit(0);
        }

        Assert.That((layer.Weight.Grad, layer.Bias!.Grad), Is.EqualTo(((Tensor?)null, (Tensor?)null)));
    }

    [TestCase(DType.Float32)]
    [TestCase(DType.Float16)]
    [TestCase(DType.BFloat16)]
    public void LinearRelu_EqualsLinearThenRelu(DType dtype)
    {
        var (x, weight, bias) = (Leaf(20, 30), Leaf(10, 30), Leaf(10));
        var fused = x.To(dtype).LinearRelu(weight.To(dtype), bias);
        var plain = x.To(dtype).Linear(weight.To(dtype), bias).Relu();
        Assert.That(Values(fused), Is.EqualTo(Values(plain)));
    }

    [TestCase(DType.Float16)]
    [TestCase(DType.BFloat16)]
    public void Linear_UnderAutocast_GivesHalvesAndF32Gradients(DType dtype)
    {
        var layer = new Linear(3, 4);
        using (Autocast.Enable(dtype))
        {
            var output = layer.Forward(Tensor.Uniform([5, 3]));
            Assert.That(output.DType, Is.EqualTo(dtype));
            output.To(DType.Float32).Sum().Backward();
        }

        Assert.Multiple(() =>
        {
            Assert.That(layer.Weight.Grad!.DType, Is.EqualTo(DType.Float32));
            Assert.That(layer.Bias!.Grad!.ToArray<float>(), Is.All.EqualTo(5f));
        });
    }

    [Test]
    public void Linear_OfAWeightOfTheWrongShape_NamesIt() => Assert.That(
        () => Tensor.Zeros([20, 150]).Linear(Tensor.Zeros([150, 160])),
        Throws.ArgumentException.With.Message.Contains("weight is f32[150,160], expected [out,150]"));

    [Test]
    public void Linear_OfMixedDTypes_NamesThem() => Assert.That(
        () => Tensor.Zeros([2, 3]).Linear(Tensor.Zeros([4, 3], DType.Float64)),
        Throws.TypeOf<MezzoException>().With.Message.Contains("f64").And.Message.Contains("f32"));

    private static Tensor Leaf(params long[] shape) => Tensor.Uniform(shape, -1, 1);
}
