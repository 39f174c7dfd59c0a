// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>
    /// The tensor in another dtype, rounded to nearest even; the tensor itself when it has that dtype.
    /// Between floating-point dtypes the gradient is cast back.
    /// </summary>
    public Tensor To(DType dtype) => dtype == DType ? this : Operation.Apply(new CastOperation(dtype), this);
}

/// <summary>Conversion to another dtype. The gradient is the output's gradient, converted back.</summary>
internal sealed class CastOperation(DType dtype) : Operation
{
    public override string Name => "cast";

    internal override void Describe(CaptureTrace trace) => trace.Mix((double)dtype);

    protected override Tensor Forward()
    {
        var input = Input(0);
        var output = Tensor.Allocate(input.Shape, dtype, input.Device);
        Calls.CastForward(output.Handle, input.Handle);
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        var gradInput = MakeGradient(0)!;
        Calls.CastForward(gradInput.Handle, gradOutput.Handle);
        AddGradient(0, gradInput);
    }
}
