// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Modules;

internal sealed class StateDictTests : TensorFixture
{
    [Test]
    public void StateDict_HasTheParametersThemselves_ByTheirPaths()
    {
        var model = Model();
        var state = model.StateDict();
        Assert.That(state.Keys, Is.EqualTo(new[] { "0.weight", "0.bias", "2.weight" }));
        Assert.That(state["0.weight"], Is.SameAs(model.Parameters().First()));
    }

    [Test]
    public void LoadStateDict_OfAFile_MakesModelsEqual()
    {
        using var folder = new TemporaryFolder();
        var (from, to) = (Model(), Model());
        SafeTensors.Save(folder.File("model"), from.StateDict());
        to.LoadStateDict(SafeTensors.Load(folder.File("model"), Device.Cpu));
        Assert.That(All(to), Is.EqualTo(All(from)));
    }

    [Test]
    public void NarrowerDTypes_AreWidened()
    {
        var model = Model();
        using var f64 = new Linear(2, 1, dtype: DType.Float64);
        model.LoadStateDict(new Dictionary<string, Tensor> { ["0.bias"] = Tensor.Create([(Half)0.1, (Half)2, (Half)3], [3], Device.Cpu) }, strict: false);
        Assert.That(Values(model.StateDict()["0.bias"]), Is.EqualTo(new[] { (double)(Half)0.1, 2, 3 }));
        f64.LoadStateDict(new Dictionary<string, Tensor> { ["weight"] = Tensor.Create([0.1f, 2f], [1, 2]), ["bias"] = Tensor.Create([(BFloat16)0.3f], [1]) });
        Assert.That(Values(f64.Weight), Is.EqualTo(new[] { (double)0.1f, 2 }));
        Assert.That(Values(f64.Bias!), Is.EqualTo(new[] { (double)(float)(BFloat16)0.3f }));
    }

    [Test]
    public void WhatDoesNotFit_IsListed_AndNothingIsChanged()
    {
        var model = Model();
        string[] before = All(model);
        var state = new Dictionary<string, Tensor>
        {
            ["0.weight"] = Tensor.Zeros([3, 1]),
            ["0.bias"] = Tensor.Zeros([3], DType.Float64),
            ["1.weight"] = Tensor.Zeros([1]),
        };
        Assert.That(() => model.LoadStateDict(state), Throws.ArgumentException.With.Message.Contain(
            "does not fit the module: missing: 2.weight; not expected: 1.weight; 0.weight is f32[3,1], expected f32[3,2], 0.bias is f64[3], expected f32[3]"));
        Assert.That(() => model.LoadStateDict(state, strict: false), Throws.ArgumentException.With.Message.Contain(
            "does not fit the module: 0.weight is f32[3,1], expected f32[3,2], 0.bias is f64[3], expected f32[3]"));
        Assert.That(All(model), Is.EqualTo(before));
    }

    [Test]
    public void ManyDifferences_AreCutShort()
    {
        using var model = new Sequential([.. Enumerable.Range(0, 8).Select(_ => new Linear(1, 1, bias: false))]);
        Assert.That(() => model.LoadStateDict(new Dictionary<string, Tensor>()), Throws.ArgumentException.With.Message.Contain("missing: 0.weight, 1.weight, 2.weight, 3.weight, 4.weight and 3 more"));
    }

    private static Sequential Model() => new(new Linear(2, 3), new ReLU(), new Linear(3, 1, bias: false));

    private static string[] All(Module module) => [.. module.StateDict().Values.Select(Bits)];
}
