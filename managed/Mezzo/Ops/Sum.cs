// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>The sum of all elements, a scalar; accumulated in f64, and f32 for a 16-bit tensor.</summary>
    public Tensor Sum() => Operation.Apply(new SumOperation(), this);
}

/// <summary>Sum of all elements; grad_input[i] = grad_output.</summary>
internal sealed class SumOperation : Operation
{
    public override string Name => "sum";

    protected override Tensor Forward()
    {
        var input = Input(0);
        var output = Tensor.Allocate([], input.DType.Arithmetic(), input.Device);
        Calls.SumForward(output.Handle, input.Handle);
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        var gradInput = MakeGradient(0)!;
        Calls.SumBackward(gradInput.Handle, gradOutput.Handle);
        AddGradient(0, gradInput);
    }
}
