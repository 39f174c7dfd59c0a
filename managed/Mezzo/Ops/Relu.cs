// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>max(x, 0), elementwise; NaN stays NaN.</summary>
    public Tensor Relu() => Operation.Apply(new ReluOperation(), this);
}

/// <summary>Rectified linear unit. Keeps its output, of which the gradient needs only the sign.</summary>
internal sealed class ReluOperation : Operation
{
    private SavedTensor _output;

    public override string Name => "relu";

    internal override bool EndsWithRelu => _output.IsIntact;

    protected override Tensor Forward()
    {
        var input = Input(0);
        var output = Tensor.Allocate(input.Shape, input.DType, input.Device);
        Calls.ReluForward(output.Handle, input.Handle);
        _output = Save(output);
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        if (GradientIsMasked)
        {
            PassGradient(0, gradOutput);
            return;
        }

        var gradInput = Tensor.AllocateOwned(gradOutput.Shape, gradOutput.DType, gradOutput.Device);
        Calls.ReluBackward(gradInput.Handle, gradOutput.Handle, _output.Value.Handle);
        AddGradient(0, gradInput);
    }
}
