// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Support;

/// <summary>What ops promise that compute in f32 under autocast but read a 16-bit input as it is.</summary>
internal static class HalfInput
{
    /// <summary>Checks that no cast runs, and that results and gradients are those of one, of 5 rows of 7.</summary>
    /// <param name="half">The input's dtype.</param>
    /// <param name="op">The only op that may run.</param>
    /// <param name="function">The op on the input and two f32 vectors.</param>
    public static void AssertReadAsItIs(DType half, string op, Func<Tensor, Tensor, Tensor, Tensor> function)
    {
        var x = Gradients.IrregularTensor(1, 5, 7).To(half);
        var (direct, directWeight) = Run(x, autocast: true);
        var (cast, castWeight) = Run(x.To(DType.Float32), autocast: false);
        Assert.That(direct.DType, Is.EqualTo(half));
        Assert.That(Values(direct), Is.EqualTo(Values(cast.To(half))));
        Assert.That(directWeight is null ? [] : Values(directWeight), Is.EqualTo(castWeight is null ? [] : Values(castWeight)));

        (Tensor GradInput, Tensor? GradWeight) Run(Tensor input, bool autocast)
        {
            var (leaf, weight) = (input.Detach(), Gradients.IrregularTensor(2, 7).To(DType.Float32));
            (leaf.RequiresGrad, weight.RequiresGrad) = (true, true);
            var bias = Gradients.IrregularTensor(3, 7).To(DType.Float32);
            using var scope = Autocast.Enable(half, autocast);
            Tensor output = null!;
            var manifest = OpManifest.Record(() => output = function(leaf, weight, bias));
            Assert.That((manifest.Entries.Single().Op, output.DType), Is.EqualTo((op, DType.Float32)));
            output.Backward(Tensor.Create(Gradients.Irregular(output.ElementCount, 4), output.Shape).To(DType.Float32));
            return (leaf.Grad!, weight.Grad);
        }
    }

    /// <summary>The same for an op of the input alone.</summary>
    public static void AssertReadAsItIs(DType half, string op, Func<Tensor, Tensor> function) =>
        AssertReadAsItIs(half, op, (x, _, _) => function(x));

    private static double[] Values(Tensor tensor) => tensor.To(DType.Float64).ToArray<double>();
}
