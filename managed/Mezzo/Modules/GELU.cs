// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>x F(x), elementwise, with F the normal distribution function: the Gaussian error linear unit.</summary>
/// <param name="approximation">How F is computed.</param>
public sealed class GELU(GeluApproximation approximation = GeluApproximation.None) : Module<Tensor, Tensor>
{
    /// <inheritdoc/>
    internal override bool KeepsNoTensor => true;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => input.Gelu(approximation);
}
