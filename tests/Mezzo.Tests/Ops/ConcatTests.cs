// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class ConcatTests : TensorFixture
{
    [Test]
    public void Concat_JoinsAlongADimension()
    {
        var (a, b) = (Tensor.Create([1f, 2f], [2, 1]), Tensor.Create([3f, 4f, 5f, 6f], [2, 2]));
        var joined = Tensor.Concat([a, b], -1);
        Assert.That(joined.Shape.ToArray(), Is.EqualTo([2L, 3L]));
        Assert.That(joined.ToArray<float>(), Is.EqualTo([1f, 3f, 4f, 2f, 5f, 6f]));
        Assert.That(Tensor.Concat([b, b]).ToArray<float>(), Is.EqualTo([3f, 4f, 5f, 6f, 3f, 4f, 5f, 6f]));
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(2)]
    public void Concat_Backward_MatchesFiniteDifference(int dim)
    {
        long[] Shape(long extent) => [.. Enumerable.Range(0, 3).Select(i => i == dim ? extent : 2)];
        Gradients.AssertMatchFiniteDifferences(
            x => Tensor.Concat([x[0], x[1], x[0]], dim), Gradients.IrregularTensor(1, Shape(3)), Gradients.IrregularTensor(2, Shape(1)));
    }

    [Test]
    public void Concat_OfFrozenTensors_GivesTheOthersTheirGradients()
    {
        var (a, b) = (Tensor.Uniform([2]), Tensor.Uniform([3]));
        b.RequiresGrad = true;
        Tensor.Concat([a, b]).Scale(2).Sum().Backward();
        Assert.That((a.Grad, b.Grad!.ToArray<float>()), Is.EqualTo(((Tensor?)null, new[] { 2f, 2f, 2f })));
    }

    [Test]
    public void Concat_UnderAutocast_TakesTheWidestDType()
    {
        var (half, full) = (Tensor.Zeros([2], DType.BFloat16), Tensor.Zeros([2]));
        using var autocast = Autocast.Enable(DType.BFloat16);
        Assert.That(Tensor.Concat([half, full]).DType, Is.EqualTo(DType.Float32));
        Assert.That(Tensor.Concat([half, half]).DType, Is.EqualTo(DType.BFloat16));
    }

    [Test]
    public void Concat_OfBadArguments_NamesThem()
    {
        var a = Tensor.Zeros([2, 3]);
        Assert.That(() => Tensor.Concat([]), Throws.ArgumentException.With.Message.Contains("at least one tensor"));
        Assert.That(() => Tensor.Concat([a], 2), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("dimension 2 of f32[2,3], expected -2 to 1"));
        Assert.That(() => Tensor.Concat([a, Tensor.Zeros([3, 3])], 1), Throws.TypeOf<MezzoException>().With.Message.Contains("inputs[1] is f32[3,3]"));
        Assert.That(() => Tensor.Concat([a, Tensor.Zeros([2])], 1), Throws.TypeOf<MezzoException>().With.Message.Contains("inputs[1] is f32[2]"));
        Assert.That(() => Tensor.Concat([a, Tensor.Zeros([2, 3], DType.Float64)]), Throws.TypeOf<MezzoException>().With.Message.Contains("expected dtype f32"));
    }
}
