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
internal sealed class ReluOperation : ActivationOperation
{
    public override string Name => "relu";

    protected override bool SavesOutput => true;

    internal override bool EndsWithRelu => Saved.IsIntact;

    protected override void RunForward(MezzoTensor output, MezzoTensor input) => Calls.ReluForward(output, input);

    protected override void RunBackward(MezzoTensor gradInput, MezzoTensor gradOutput, MezzoTensor saved) =>
        Calls.ReluBackward(gradInput, gradOutput, saved);

    protected override void Backward(Tensor gradOutput)
    {
        if (GradientIsMasked)
        {
            PassGradient(0, gradOutput);
        }
        else
        {
            base.Backward(gradOutput);
        }
    }
}
