// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class LayerNormTests : TensorFixture
{
    [Test]
    public void LayerNorm_Backward_MatchesFiniteDifferences()
    {
        Gradients.AssertMatchFiniteDifferences(
            x => x[0].LayerNorm([5], x[1], x[2]), Gradients.IrregularTensor(1, 3, 5), Gradients.IrregularTensor(2, 5), Gradients.IrregularTensor(3, 5));
        Gradients.AssertMatchFiniteDifferences(x => x[0].LayerNorm([2, 3], x[1], eps: 0.1), Gradients.IrregularTensor(4, 2, 2, 3), Gradients.IrregularTensor(5, 2, 3));
        Gradients.AssertMatchFiniteDifferences(x => x[0].LayerNorm([6], bias: x[1]), Gradients.IrregularTensor(6, 6), Gradients.IrregularTensor(7, 6));
        Gradients.AssertMatchFiniteDifferences(x => x[0].LayerNorm([4]), Gradients.IrregularTensor(8, 2, 4));
    }

    [Test]
    public void LayerNorm_UnderAutocast_ReadsAHalfAsItIs([Values(DType.Float16, DType.BFloat16)] DType half) =>
        HalfInput.AssertReadAsItIs(half, "layer_norm", (x, weight, bias) => x.LayerNorm([7], weight, bias));

    [Test]
    public void LayerNorm_OfAHalfWithoutAutocast_GivesAHalf([Values(DType.Float16, DType.BFloat16)] DType half)
    {
        var input = Gradients.IrregularTensor(1, 3, 8).To(half);
        var output = input.LayerNorm([8], Tensor.Full([8], 2));
        Assert.That(output.DType, Is.EqualTo(half));
        Assert.That(Values(output), Is.EqualTo(Values(input.To(DType.Float32).LayerNorm([8], Tensor.Full([8], 2)).To(half))));
    }

    [Test]
    public void LayerNorm_OfOtherDimensions_IsRefused() => Assert.That(
        () => Tensor.Zeros([4, 6]).LayerNorm([2, 6]),
        Throws.ArgumentException.With.Message.EqualTo("layer_norm: the input is f32[4,6], expected normalizedShape [2,6] as its last dimensions."));

    [Test]
    public void Module_HasOnesAndZerosAndNamesThem()
    {
        using var layer = new LayerNorm([2, 3]);
        var x = Gradients.IrregularTensor(1, 4, 2, 3).To(DType.Float32);
        Assert.That(layer.NamedParameters().Select(named => named.Name), Is.EqualTo(new[] { "weight", "bias" }));
        Assert.That(Values(layer.Forward(x)), Is.EqualTo(Values(x.LayerNorm([2, 3]))));
        using var plain = new LayerNorm(3, elementwiseAffine: false);
        using var withoutBias = new LayerNorm(3, bias: false);
        Assert.That((plain.Parameters().Count(), withoutBias.Parameters().Count()), Is.EqualTo((0, 1)));
    }
}
