// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>1 / (1 + exp(-x)), elementwise.</summary>
    public Tensor Sigmoid() => Operation.Apply(new SigmoidOperation(), this);
}

/// <summary>Logistic sigmoid. Keeps its output.</summary>
internal sealed class SigmoidOperation : ActivationOperation
{
    public override string Name => "sigmoid";

    protected override bool SavesOutput => true;

    protected override void RunForward(MezzoTensor output, MezzoTensor input) => Calls.SigmoidForward(output, input);

    protected override void RunBackward(MezzoTensor gradInput, MezzoTensor gradOutput, MezzoTensor saved) =>
        Calls.SigmoidBackward(gradInput, gradOutput, saved);
}
