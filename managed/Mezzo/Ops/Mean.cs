// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>The mean of all elements, a scalar; accumulated in f64, and f32 for a 16-bit tensor.</summary>
    public Tensor Mean() => Operation.Apply(new MeanOperation(), this);
}

/// <summary>Mean of all elements; grad_input[i] = grad_output / n.</summary>
internal sealed class MeanOperation : Operation
{
    public override string Name => "mean";

    protected override Tensor Forward()
    {
        var input = Input(0);
        var output = Tensor.Allocate([], input.DType.Arithmetic(), input.Device);
        Calls.MeanForward(output.Handle, input.Handle);
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        var gradInput = MakeGradient(0)!;
        Calls.MeanBackward(gradInput.Handle, gradOutput.Handle);
        AddGradient(0, gradInput);
    }
}
