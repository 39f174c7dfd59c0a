// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// In training, sets random elements to 0 and multiplies the others by 1 / (1 - p); else the identity. See
/// <see cref="Tensor.Dropout"/> for which elements.
/// </summary>
/// <param name="p">Share of the elements to drop, from 0 to 1.</param>
public sealed class Dropout(double p = 0.5) : Module<Tensor, Tensor>
{
    /// <summary>Share of the elements that are dropped.</summary>
    public double P { get; } = p is >= 0 and <= 1
        ? p
        : throw new ArgumentOutOfRangeException(nameof(p), p, "The share of elements to drop must be from 0 to 1.");

    /// <inheritdoc/>
    internal override bool KeepsNoTensor => true;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => input.Dropout(P, IsTraining);
}
