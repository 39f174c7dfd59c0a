// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>max(x, 0). After a <see cref="Linear"/> in a <see cref="Sequential"/> the two run as one op.</summary>
public sealed class ReLU : Module<Tensor, Tensor>
{
    /// <inheritdoc/>
    internal override bool KeepsNoTensor => true;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => input.Relu();
}
