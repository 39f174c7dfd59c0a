// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>
    /// Layer normalisation: each row, made of the trailing dimensions, is brought to mean 0 and variance 1, scaled and
    /// shifted. (x - mean) / √(variance + eps) · weight + bias.
    /// </summary>
    /// <param name="normalizedShape">The tensor's last dimensions, which are a row.</param>
    /// <param name="weight">Of that shape, f32 or 16-bit for a 16-bit tensor, else of the tensor's dtype; null for 1.</param>
    /// <param name="bias">As the weight; null for 0.</param>
    /// <param name="eps">Added to the variance.</param>
    /// <returns>The tensor's shape and dtype; f32 for a 16-bit tensor under autocast.</returns>
    /// <exception cref="ArgumentException">The tensor's last dimensions are others.</exception>
    public Tensor LayerNorm(ReadOnlySpan<long> normalizedShape, Tensor? weight = null, Tensor? bias = null, double eps = 1e-5) =>
        Operation.Apply(new LayerNormOperation(normalizedShape.ToArray(), eps), this, NormOperation.Widened(weight), NormOperation.Widened(bias));
}

/// <summary>Layer normalisation. Keeps input and weight, and mean and reciprocal deviation of each row.</summary>
internal sealed class LayerNormOperation(long[] normalizedShape, double eps) : RowNormOperation(normalizedShape, eps)
{
    public override string Name => "layer_norm";

    internal override void Describe(CaptureTrace trace) => DescribeRow(trace);

    protected override Tensor Forward()
    {
        var (input, weight, bias) = (Input(InputIndex), OptionalInput(WeightIndex), OptionalInput(BiasIndex));
        var (mean, rstd) = (AllocateForRows(input), AllocateForRows(input));
        var output = Tensor.Allocate(input.Shape, Autocast.Float32ResultOf(input), input.Device);
        Calls.LayerNormForward(
            output.Handle, mean.Handle, rstd.Handle, input.Handle, weight?.Handle ?? default, bias?.Handle ?? default, Desc());
        SaveForBackward(mean, rstd);
        return output;
    }

    protected override void RunBackward(NormBackward tensors) => Calls.LayerNormBackward(
        tensors.GradInput, tensors.GradWeight, tensors.GradBias, tensors.GradOutput, tensors.Input, tensors.Mean, tensors.Rstd, tensors.Weight, Desc());
}
