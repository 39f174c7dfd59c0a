// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>Hyperbolic tangent, elementwise.</summary>
    public Tensor Tanh() => Operation.Apply(new TanhOperation(), this);
}

/// <summary>Hyperbolic tangent. Keeps its output.</summary>
internal sealed class TanhOperation : ActivationOperation
{
    public override string Name => "tanh";

    protected override bool SavesOutput => true;

    protected override void RunForward(MezzoTensor output, MezzoTensor input) => Calls.TanhForward(output, input);

    protected override void RunBackward(MezzoTensor gradInput, MezzoTensor gradOutput, MezzoTensor saved) =>
        Calls.TanhBackward(gradInput, gradOutput, saved);
}
