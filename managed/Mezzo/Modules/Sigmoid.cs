// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>1 / (1 + exp(-x)), elementwise.</summary>
public sealed class Sigmoid : Module<Tensor, Tensor>
{
    /// <inheritdoc/>
    internal override bool KeepsNoTensor => true;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => input.Sigmoid();
}
