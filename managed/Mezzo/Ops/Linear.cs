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
/// come straight from f32 sums, so that neither passes through a 16-bit type. Where a ReLU made the input and
/// nothing else used it, the input's gradient is masked, and summed for the bias before that ReLU, as it is written.
/// </summary>
internal sealed class LinearOperation(MezzoActivation activation) : Operation
{
    private const int InputIndex = 0;
    private const int WeightIndex = 1;
    private const int BiasIndex = 2;
    private readonly uint _allowTf32 = Runtime.AllowTf32 ? 1u : 0;
    private SavedTensor _input;
    private SavedTensor _weight;
    private SavedTensor? _output;

    public override string Name => "linear";

    public override CastPolicy CastPolicy => CastPolicy.LowPrecision;

    public override RecomputeClass RecomputeClass => RecomputeClass.Dear;

    internal override bool EndsWithRelu => _output is { IsIntact: true };

    internal override bool CastsInput(int index) => index != BiasIndex;

    internal override void Describe(CaptureTrace trace)
    {
        trace.Mix((double)activation);
        trace.Mix(_allowTf32);
    }

    internal override GradientBuffer? LendRowSum() => LendGradient(BiasIndex);

    protected override Tensor Forward()
    {
        var (input, weight, bias) = (Input(InputIndex), Input(WeightIndex), OptionalInput(BiasIndex));
        var output = Tensor.Allocate(OutputShape(input, weight), input.DType, input.Device);
        Calls.LinearForward(
            output.Handle,
            input.Handle,
            weight.Handle,
            bias?.Handle ?? default,
            new MezzoLinearDesc { Activation = activation, AllowTf32 = _allowTf32 });
        _input = Save(input);
        _weight = Save(weight);
        _output = activation == MezzoActivation.None ? null : Save(output);
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        var leadingRelu = LeadingRelu(InputIndex);
        // A GPU would have to copy the gradient first: other blocks still read what one of them overwrites.
        var overwritable = gradOutput.Device.Type == DeviceType.Cpu ? gradOutput : null;
        var accumulate = MezzoLinearAccumulate.None;
        var gradInput = Note(LendGradient(InputIndex, overwritable), MezzoLinearAccumulate.Input);
        var gradWeight = Note(LendGradient(WeightIndex), MezzoLinearAccumulate.Weight);
        var gradBias = GradientIsMasked ? null : Note(LendGradient(BiasIndex), MezzoLinearAccumulate.Bias);
        var gradInputSum = Note(leadingRelu?.LendRowSum(), MezzoLinearAccumulate.Sum);
        if (gradInput is null && gradWeight is null && gradBias is null)
        {
            return; // of a bias alone, whose gradient is there already
        }

        var check = GradientCheck.Of(gradWeight, gradBias, gradInputSum);
        Calls.LinearBackward(
            Handle(gradInput),
            Handle(gradWeight),
            Handle(gradBias),
            Handle(gradInputSum),
            check?.FoundInf.Handle ?? default,
            gradOutput.Handle,
            _input.Value.Handle,
            _weight.Value.Handle,
            GradientIsMasked ? default : _output?.Value.Handle ?? default,
            new MezzoLinearDesc
            {
                Activation = GradientIsMasked ? MezzoActivation.None : activation,
                Accumulate = accumulate,
                AllowTf32 = _allowTf32,
                InputActivation = leadingRelu is null ? MezzoActivation.None : MezzoActivation.Relu,
            });
        gradInput?.Commit();
        gradWeight?.Commit(isChecked: check is not null);
        gradBias?.Commit(isChecked: check is not null);
        gradInputSum?.Commit(isChecked: check is not null);
        leadingRelu?.OutputGradient.MarkMasked();

        GradientBuffer? Note(GradientBuffer? buffer, MezzoLinearAccumulate flag)
        {
            accumulate |= buffer is { Accumulates: true } ? flag : 0;
            return buffer;
        }

        static MezzoTensor Handle(GradientBuffer? buffer) => buffer?.Tensor.Handle ?? default;
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
