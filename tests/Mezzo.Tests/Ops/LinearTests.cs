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
    public void Linear_WhereTf32IsAllowed_RoundsOnAGpuOnly()
    {
        const int Size = 64;
        float kept = 1 + MathF.Pow(2, -10); // TF32 has 10 bits of fraction
        float lost = 1 + MathF.Pow(2, -12);
        try
        {
            Runtime.AllowTf32 = true;
            foreach (var (factor, rounded) in new[] { (kept, kept), (lost, 1f) })
            {
                var (x, weight) = (Tensor.Full([Size, Size], factor), Tensor.Full([Size, Size], 1));
                weight.RequiresGrad = true;
                var y = x.Linear(weight);
                Runtime.AllowTf32 = false; // the backward pass does as the forward pass did
                y.Backward(Tensor.Full([Size, Size], 1));
                float[] results = TestDevice.Current.Type == DeviceType.Cpu ? [factor]
                    : TestDevice.IsSimulated ? [rounded]
                    : [rounded, factor]; // a real GPU may have no TF32, or another kernel that is faster
                float[] allowed = Array.ConvertAll(results, result => Size * result);
                Assert.That(y.ToArray<float>().Distinct(), Is.SubsetOf(allowed));
                Assert.That(weight.Grad!.ToArray<float>().Distinct(), Is.SubsetOf(allowed));
                Assert.That(x.Linear(weight).ToArray<float>(), Is.All.EqualTo(Size * factor));
                Runtime.AllowTf32 = true;
            }
        }
        finally
        {
            Runtime.AllowTf32 = false;
        }
    }

    [Test]
    public void LinearRelu_Backward_MatchesFiniteDifference() => Gradients.AssertMatchFiniteDifferences(
        x => x[0].LinearRelu(x[1], x[2]),
        Gradients.IrregularTensor(1, 2, 3, 4),
        Gradients.IrregularTensor(2, 5, 4),
        Gradients.IrregularTensor(3, 5));

    [Test]
    public void Linear_UsedTwice_AddsUpItsGradients() => Gradients.AssertMatchFiniteDifferences(
        x => x[0].LinearRelu(x[1]).Linear(x[1]), Gradients.IrregularTensor(1, 6, 3), Gradients.IrregularTensor(2, 3, 3));

    // The second layer masks the first one's gradient and sums it for the bias, unless someone else uses the first one's output.
    [TestCase("one user", "relu before", "used twice", "the output too")]
    public void Linear_AfterRelu_MatchesFiniteDifference(params string[] ways)
    {
        foreach (string way in ways)
        {
            Gradients.AssertMatchFiniteDifferences(
                x =>
                {
                    var hidden = way == "relu before" ? x[0].Linear(x[1], x[2]).Relu() : x[0].LinearRelu(x[1], x[2]);
                    var output = hidden.Linear(x[3], x[4]);
                    return way switch
                    {
                        "used twice" => output.Add(hidden.Linear(x[3])),
                        "the output too" => output.Mean().Add(hidden.Mean()),
                        _ => output,
                    };
                },
                Gradients.IrregularTensor(1, 6, 4),
                Gradients.IrregularTensor(2, 5, 4),
                Gradients.IrregularTensor(3, 5),
                Gradients.IrregularTensor(4, 3, 5),
                Gradients.IrregularTensor(5, 3));
        }
    }

    [Test]
    public void Linear_AfterReluWithFrozenParameters_GivesTheOthersTheirGradients()
    {
        string[] names = ["weight 1", "bias 1", "weight 2", "bias 2"];
        foreach (string frozen in names)
        {
            Tensor[] parameters = [Wanted(Leaf(5, 4)), Wanted(Leaf(5)), Wanted(Leaf(3, 5)), Wanted(Leaf(3))];
            parameters[Array.IndexOf(names, frozen)].RequiresGrad = false;
            var x = Tensor.Uniform([6, 4]);
            x.LinearRelu(parameters[0], parameters[1]).Linear(parameters[2], parameters[3]).Sum().Backward();
            var alone = Array.ConvertAll(parameters, parameter => Wanted(parameter.Detach()));
            x.LinearRelu(alone[0], alone[1]).Linear(alone[2], alone[3]).Sum().Backward();
            for (int i = 0; i < names.Length; i++)
            {
                Assert.That(
                    parameters[i].Grad?.ToArray<float>(),
                    names[i] == frozen ? Is.Null : Is.EqualTo(alone[i].Grad!.ToArray<float>()),
                    $"{names[i]} with {frozen} frozen");
            }
        }
    }

    [TestCase(true)]
    [TestCase(false)]
    public void Linear_AfterAReluThatWasOverwritten_IsRefused(bool fused)
    {
        var (weight, bias) = (Wanted(Leaf(5, 4)), Wanted(Leaf(5)));
        var x = Tensor.Uniform([6, 4]);
        var hidden = fused ? x.LinearRelu(weight, bias) : x.Linear(weight, bias).Relu();
        hidden.Fill(1);
        var loss = hidden.Linear(Wanted(Leaf(3, 5))).Sum();
        Assert.That(() => loss.Backward(), Throws.InvalidOperationException.With.Message.Contains("modified by an inplace operation"));
    }

    [Test]
    public void Linear_AfterAReluOfASpentGraph_LeavesItsGradientsAlone()
    {
        var (weight, bias) = (Wanted(Leaf(5, 4)), Wanted(Leaf(5)));
        var hidden = Tensor.Uniform([6, 4]).LinearRelu(weight, bias);
        hidden.Sum().Backward();
        float[] before = bias.Grad!.ToArray<float>();
        var loss = hidden.Linear(Wanted(Leaf(3, 5))).Sum();
        Assert.That(() => loss.Backward(), Throws.InvalidOperationException.With.Message.Contains("a second time"));
        Assert.That(bias.Grad!.ToArray<float>(), Is.EqualTo(before));
    }

    [TestCase(DType.Float16)]
    [TestCase(DType.BFloat16)]
    public void Linear_AfterReluInHalves_GivesTheGradientsOfReluApart(DType dtype)
    {
        Tensor[] fused = [Wanted(Leaf(40, 30)), Wanted(Leaf(20, 30)), Wanted(Leaf(20)), Wanted(Leaf(10, 20))];
        var plain = Array.ConvertAll(fused, tensor => Wanted(tensor.Detach()));
        fused[0].To(dtype).LinearRelu(fused[1].To(dtype), fused[2]).Linear(fused[3].To(dtype)).Sum().Backward();

        // The reshape stands between the two layers, so that each does its own part.
        plain[0].To(dtype).LinearRelu(plain[1].To(dtype), plain[2]).Reshape(40, 20).Linear(plain[3].To(dtype)).Sum().Backward();
        for (int i = 0; i < fused.Length; i++)
        {
            // The bias gradient is the same sum in another order.
            var expected = Is.EqualTo(plain[i].Grad!.ToArray<float>());
            Assert.That(fused[i].Grad!.ToArray<float>(), i == 2 ? expected.Within(1e-5).Percent : expected, $"tensor {i}");
        }
    }

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

    private static Tensor Wanted(Tensor tensor)
    {
        tensor.RequiresGrad = true;
        return tensor;
    }
}
