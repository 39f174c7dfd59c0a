// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>
    /// Each row, made of the trailing dimensions, is divided by its root mean square and scaled:
    /// x / √(mean(x²) + eps) · weight.
    /// </summary>
    /// <param name="normalizedShape">The tensor's last dimensions, which are a row.</param>
    /// <param name="weight">Of that shape, f32 or 16-bit for a 16-bit tensor, else of the tensor's dtype; null for 1.</param>
    /// <param name="eps">Added to the mean square; null for the distance from 1 to the next number, 2⁻²³, or 2⁻⁵² in f64.</param>
    /// <returns>The tensor's shape and dtype; f32 for a 16-bit tensor under autocast.</returns>
    /// <exception cref="ArgumentException">The tensor's last dimensions are others.</exception>
    public Tensor RmsNorm(ReadOnlySpan<long> normalizedShape, Tensor? weight = null, double? eps = null) => Operation.Apply(
        new RmsNormOperation(normalizedShape.ToArray(), eps ?? Math.ScaleB(1, DType == DType.Float64 ? -52 : -23)), this, NormOperation.Widened(weight));
}

/// <summary>Root mean square normalisation. Keeps input and weight, and the reciprocal root of each row.</summary>
internal sealed class RmsNormOperation(long[] normalizedShape, double eps) : RowNormOperation(normalizedShape, eps)
{
    public override string Name => "rms_norm";

    internal override void Describe(CaptureTrace trace) => DescribeRow(trace);

    protected override Tensor Forward()
    {
        var (input, weight) = (Input(InputIndex), OptionalInput(WeightIndex));
        var rstd = AllocateForRows(input);
        var output = Tensor.Allocate(input.Shape, Autocast.Float32ResultOf(input), input.Device);
        Calls.RmsNormForward(output.Handle, rstd.Handle, input.Handle, weight?.Handle ?? default, Desc());
        SaveForBackward(mean: null, rstd);
        return output;
    }

    protected override void RunBackward(NormBackward tensors) => Calls.RmsNormBackward(
        tensors.GradInput, tensors.GradWeight, tensors.GradOutput, tensors.Input, tensors.Rstd, tensors.Weight, Desc());
}
