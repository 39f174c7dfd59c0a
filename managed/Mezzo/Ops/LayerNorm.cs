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
internal sealed class LayerNormOperation(long[] normalizedShape, double eps) : NormOperation(normalizedShape)
{
    private SavedTensor _input;
    private SavedTensor? _weight;
    private SavedTensor _mean;
    private SavedTensor _rstd;

    public override string Name => "layer_norm";

    internal override void Describe(CaptureTrace trace)
    {
        DescribeRow(trace);
        trace.Mix(eps);
    }

    protected override Tensor Forward()
    {
        var (input, weight, bias) = (Input(InputIndex), OptionalInput(WeightIndex), OptionalInput(BiasIndex));
        var (mean, rstd) = (AllocateForRows(input), AllocateForRows(input));
        var output = Tensor.Allocate(input.Shape, Autocast.Float32ResultOf(input), input.Device);
        Calls.LayerNormForward(
            output.Handle, mean.Handle, rstd.Handle, input.Handle, weight?.Handle ?? default, bias?.Handle ?? default, Desc(eps));
        _input = Save(input);
        _weight = weight is null ? null : Save(weight);
        (_mean, _rstd) = (SaveStatistic(mean), SaveStatistic(rstd));
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        var (gradInput, gradWeight, gradBias) = (MakeGradient(InputIndex), MakeGradient(WeightIndex), MakeGradient(BiasIndex));
        Calls.LayerNormBackward(
            gradInput?.Handle ?? default,
            gradWeight?.Handle ?? default,
            gradBias?.Handle ?? default,
            gradOutput.Handle,
            _input.Value.Handle,
            _mean.Value.Handle,
            _rstd.Value.Handle,
            _weight?.Value.Handle ?? default,
            Desc(eps));
        AddMadeGradient(InputIndex, gradInput);
        AddMadeGradient(WeightIndex, gradWeight);
        AddMadeGradient(BiasIndex, gradBias);
    }
}
