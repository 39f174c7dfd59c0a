// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Hyperbolic tangent, elementwise.</summary>
public sealed class Tanh : Module<Tensor, Tensor>
{
    /// <inheritdoc/>
    internal override bool KeepsNoTensor => true;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => input.Tanh();
}
