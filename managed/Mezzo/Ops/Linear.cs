// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>The tensor times the transpose of a weight, plus a bias: x W^T + b.</summary>
    /// <param name="weight">[out, in], where in is this tensor's last dimension.</param>
    /// <param name="bias">[out]; null for none.</param>
    public Tensor Linear(Tensor weight, Tensor? bias = null) =>
        Operation.Apply(new LinearOperation(MezzoActivation.None), this, weight, bias);

    /// <summary>As <see cref="Linear"/>, followed by ReLU before the result is rounded and stored.</summary>
    /// <param name="weight">[out, in], where in is this tensor's last dimension.</param>
    /// <param name="bias">[out]; null for none.</param>
    public Tensor LinearRelu(Tensor weight, Tensor? bias = null) =>
        Operation.Apply(new LinearOperation(MezzoActivation.Relu), this, weight, bias);
}

/// <summary>
/// Linear layer with an optional fused ReLU. Keeps input and weight and, for ReLU, the output. Under
/// autocast the bias stays in f32: it is added to the f32 accumulator, and its gradient and the weight's
/// come straight from f32 sums, so that neither passes through a 16-bit type.
/// </summary>
internal sealed class LinearOperation(MezzoActivation activation) : Operation
{
    private const int InputIndex = 0;
    private const int WeightIndex = 1;
    private const int BiasIndex = 2;
    private SavedTensor _input;
    private SavedTensor _weight;
    private SavedTensor? _output;

    public override string Name => "linear";

    public override CastPolicy CastPolicy => CastPolicy.LowPrecision;

    public override RecomputeClass RecomputeClass => RecomputeClass.Dear;

    internal override bool CastsInput(int index) => index != BiasIndex;

    internal override void Describe(CaptureTrace trace) => trace.Mix((double)activation);

    protected override Tensor Forward()
    {
        var (input, weight, bias) = (Input(InputIndex), Input(WeightIndex), OptionalInput(BiasIndex));
        var output = Tensor.Allocate(OutputShape(input, weight), input.DType, input.Device);
        Calls.LinearForward(
            output.Handle, input.Handle, weight.Handle, bias?.Handle ?? default, new MezzoLinearDesc { Activation = activation });
        _input = Save(input);
        _weight = Save(weight);
        _output = activation == MezzoActivation.None ? null : Save(output);
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        var accumulate = MezzoLinearAccumulate.None;
        var gradInput = Lend(InputIndex, MezzoLinearAccumulate.Input, gradOutput);
        var gradWeight = Lend(WeightIndex, MezzoLinearAccumulate.Weight);
        var gradBias = Lend(BiasIndex, MezzoLinearAccumulate.Bias);
        Calls.LinearBackward(
            gradInput?.Tensor.Handle ?? default,
            gradWeight?.Tensor.Handle ?? default,
            gradBias?.Tensor.Handle ?? default,
            gradOutput.Handle,
            _input.Value.Handle,
            _weight.Value.Handle,
            _output?.Value.Handle ?? default,
            new MezzoLinearDesc { Activation = activation, Accumulate = accumulate });
        gradInput?.Commit();
        gradWeight?.Commit();
        gradBias?.Commit();

        GradientBuffer? Lend(int index, MezzoLinearAccumulate flag, Tensor? inPlaceOf = null)
        {
            var buffer = LendGradient(index, inPlaceOf);
            accumulate |= buffer is { Accumulates: true } ? flag : 0;
            return buffer;
        }
    }

    private static long[] OutputShape(Tensor input, Tensor weight)
    {
        if (input.Rank == 0 || weight.Rank != 2 || input.Shape[^1] != weight.Shape[1])
        {
            throw new ArgumentException(
                $"linear: weight is {weight.Description}, expected [out,{(input.Rank == 0 ? "in" : input.Shape[^1])}] for the input {input.Description}.");
        }

        long[] shape = input.Shape.ToArray();
        shape[^1] = weight.Shape[0];
        return shape;
    }
}
