// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Modules;

internal sealed class SequentialTests : TensorFixture
{
    [Test]
    public void NamedParameters_AreNamedAsInPyTorch()
    {
        var model = new Sequential(new Linear(1, 4), new ReLU(), new Sequential(new Linear(4, 2, bias: false)));
        Assert.That(
            model.NamedParameters().Select(named => $"{named.Name} {named.Parameter.Description}"),
            Is.EqualTo(["0.weight f32[4,1]", "0.bias f32[4]", "2.0.weight f32[2,4]"]));
    }

    [TestCase(null)]
    [TestCase(DType.BFloat16)]
    [TestCase(DType.Float16)]
    public void Forward_EqualsTheModulesOneByOne(DType? autocast)
    {
        Module<Tensor, Tensor>[] modules = [new Linear(3, 7), new ReLU(), new Linear(7, 7), new Linear(7, 5), new ReLU(), new ReLU()];
        var x = Tensor.Uniform([9, 3], -1, 1);
        using var guard = Autocast.Enable(autocast ?? DType.BFloat16, enabled: autocast is not null);
        var fused = new Sequential(modules).Forward(x);
        fused.To(DType.Float32).Sum().Backward();
        var parameters = new Sequential(modules).Parameters().ToArray();
        var fusedGrads = parameters.Select(p => p.Grad!.ToArray<float>()).ToArray();
        Array.ForEach(parameters, p => p.ClearGrad());

        var plain = modules.Aggregate(x, (flowing, module) => module.Forward(flowing));
        plain.To(DType.Float32).Sum().Backward();
        Assert.That(Values(fused), Is.EqualTo(Values(plain)));
        // The layer after a ReLU sums the bias gradient, in an order of its own, only where the layer before has that ReLU in it.
        Assert.That(parameters.Select(p => p.Grad!.ToArray<float>()), Is.EqualTo(fusedGrads).Within(1e-4).Percent);
    }

    [Test]
    public void Forward_FreesWhatNoGradientNeeds()
    {
        var model = new Sequential(new Linear(8, 8), new Linear(8, 8), new ReLU(), new ReLU());
        var x = Tensor.Uniform([16, 8]);
        var output = Measure(() => model.Forward(x), out long bytes);

        // 16 * 8 * 4 = 512 bytes a tensor: the first layer's output is kept for the second's weight gradient,
        // the second's (with ReLU) for its own mask, and the last ReLU's is the result.
        Assert.That(bytes, Is.EqualTo(3 * 512));
        output.Sum().Backward();
        using (NoGrad.Enter())
        {
            Measure(() => model.Forward(x), out bytes);
            Assert.That(bytes, Is.EqualTo(512), "without gradients only the result stays");
        }
    }

    [Test]
    public void Forward_LeavesAloneWhatAModuleKeeps()
    {
        var keeper = new Keeper();
        using var model = new Sequential(new Linear(2, 2), keeper, new Linear(2, 2));
        using (NoGrad.Enter())
        {
            model.Forward(Tensor.Zeros([1, 2]));
        }

        Assert.That((keeper.Taken!.IsDisposed, keeper.Given!.IsDisposed), Is.EqualTo((false, false)));
    }

    [Test]
    public void Parameters_OfATiedModule_AppearOnce()
    {
        var layer = new Linear(2, 2);
        using var model = new Sequential(layer, new ReLU(), layer);
        Assert.That(model.NamedParameters().Select(named => named.Name), Is.EqualTo(["0.weight", "0.bias"]));
    }

    [Test]
    public void Dispose_FreesParametersOfAllDepths()
    {
        var layer = new Linear(2, 2);
        new Sequential(new Sequential(layer)).Dispose();
        Assert.That(layer.Weight.IsDisposed, Is.True);
    }

    [Test]
    public void Register_OfATakenName_IsRefused() =>
        Assert.That(() => new TwoOfAName(), Throws.ArgumentException.With.Message.Contains("'part'"));

    private static Tensor Measure(Func<Tensor> run, out long bytes)
    {
        long before = Device.Default.Memory.CurrentBytes;
        var result = run();
        bytes = Device.Default.Memory.CurrentBytes - before;
        return result;
    }

    /// <summary>A module as a user may write it, which remembers what passed through.</summary>
    private sealed class Keeper : Module<Tensor, Tensor>
    {
        public Tensor? Taken { get; private set; }

        public Tensor? Given { get; private set; }

        public override Tensor Forward(Tensor input)
        {
            Taken = input;
            return Given = input * 2;
        }
    }

    private sealed class TwoOfAName : Module
    {
        public TwoOfAName()
        {
            Register("part", new ReLU());
            Register("part", new ReLU());
        }
    }
}
