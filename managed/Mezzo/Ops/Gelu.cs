// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

/// <summary>How <see cref="Tensor.Gelu"/> computes the normal distribution function.</summary>
public enum GeluApproximation
{
    /// <summary>Exactly, to the last places.</summary>
    None = 0,

    /// <summary>(1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, as GPT-2 does; cheaper, and up to 5e-4 off.</summary>
    Tanh = 1,
}

public partial class Tensor
{
    /// <summary>x F(x), elementwise, with F the normal distribution function: the Gaussian error linear unit.</summary>
    /// <param name="approximation">How F is computed.</param>
    public Tensor Gelu(GeluApproximation approximation = GeluApproximation.None) =>
        Operation.Apply(new GeluOperation((MezzoGeluApproximation)approximation), this);
}

/// <summary>Gaussian error linear unit. Keeps its input.</summary>
internal sealed class GeluOperation(MezzoGeluApproximation approximation) : ActivationOperation
{
    public override string Name => "gelu";

    protected override bool SavesOutput => false;

    internal override void Describe(CaptureTrace trace) => trace.Mix((double)approximation);

    protected override void RunForward(MezzoTensor output, MezzoTensor input) => Calls.GeluForward(output, input, Desc());

    protected override void RunBackward(MezzoTensor gradInput, MezzoTensor gradOutput, MezzoTensor saved) =>
        Calls.GeluBackward(gradInput, gradOutput, saved, Desc());

    private MezzoGeluDesc Desc() => new() { Approximation = approximation };
}
