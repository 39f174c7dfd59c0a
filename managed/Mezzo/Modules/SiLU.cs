// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>x / (1 + exp(-x)), elementwise: the sigmoid linear unit, also called swish.</summary>
public sealed class SiLU : Module<Tensor, Tensor>
{
    /// <inheritdoc/>
    internal override bool KeepsNoTensor => true;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => input.Silu();
}
