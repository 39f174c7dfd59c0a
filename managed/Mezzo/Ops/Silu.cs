// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>x / (1 + exp(-x)), elementwise: the sigmoid linear unit, also called swish.</summary>
    public Tensor Silu() => Operation.Apply(new SiluOperation(), this);
}

/// <summary>Sigmoid linear unit. Keeps its input.</summary>
internal sealed class SiluOperation : ActivationOperation
{
    public override string Name => "silu";

    protected override bool SavesOutput => false;

    protected override void RunForward(MezzoTensor output, MezzoTensor input) => Calls.SiluForward(output, input);

    protected override void RunBackward(MezzoTensor gradInput, MezzoTensor gradOutput, MezzoTensor saved) =>
        Calls.SiluBackward(gradInput, gradOutput, saved);
}
