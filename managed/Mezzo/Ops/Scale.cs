// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>The tensor times a number.</summary>
    public static Tensor operator *(Tensor tensor, double factor) => tensor.Scale(factor);

    /// <inheritdoc cref="op_Multiply(Tensor, double)"/>
    public static Tensor operator *(double factor, Tensor tensor) => tensor.Scale(factor);

    /// <summary>The tensor times a number on the host and, if given, one on the device.</summary>
    /// <param name="factor">Known on the host.</param>
    /// <param name="deviceFactor">A scalar of f32 or f64 through which no gradient flows, such as a loss scale.</param>
    public Tensor Scale(double factor, Tensor? deviceFactor = null) =>
        Operation.Apply(new ScaleOperation(factor, deviceFactor, isLossScale: false), this);

    /// <summary>The tensor times the loss scale: the gradients that come of it are known to be scaled.</summary>
    internal Tensor ScaleLoss(Tensor lossScale) => Operation.Apply(new ScaleOperation(1, lossScale, isLossScale: true), this);
}

/// <summary>Product with a number. The gradient is the output's gradient times the same number.</summary>
internal sealed class ScaleOperation(double factor, Tensor? deviceFactor, bool isLossScale) : Operation
{
    private SavedTensor? _deviceFactor;

    public override string Name => "scale";

    internal override void Describe(CaptureTrace trace)
    {
        trace.Mix(factor);
        trace.Mix(deviceFactor);
        trace.Mix(isLossScale ? 1 : 0);
    }

    protected override Tensor Forward()
    {
        var input = Input(0);
        var output = Tensor.Allocate(input.Shape, input.DType, input.Device);
        Calls.ScaleForward(output.Handle, input.Handle, factor, deviceFactor?.Handle ?? default);
        _deviceFactor = deviceFactor is null ? null : Save(deviceFactor);
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        if (isLossScale)
        {
            BackwardPass.MarkScaled();
        }

        var gradInput = MakeGradient(0)!;
        Calls.ScaleForward(gradInput.Handle, gradOutput.Handle, factor, _deviceFactor?.Value.Handle ?? default);
        AddGradient(0, gradInput);
    }
}
