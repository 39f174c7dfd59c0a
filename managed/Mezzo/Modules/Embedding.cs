// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>A table of vectors, looked up by their numbers.</summary>
public sealed class Embedding : Module<Tensor, Tensor>
{
    private readonly long? _paddingIndex;

    /// <summary>Creates the table with PyTorch's default initialisation: standard normal numbers, 0 in the row of the padding index.</summary>
    /// <param name="rows">Number of vectors.</param>
    /// <param name="features">Size of a vector.</param>
    /// <param name="paddingIndex">A row that starts at 0 and gets no gradient; null for none.</param>
    /// <param name="dtype">Float32 or Float64.</param>
    /// <param name="device">Where the table lives; null for <see cref="Device.Default"/>.</param>
    /// <param name="random">Source of the initial values; null for <see cref="RandomSource.Default"/>.</param>
    public Embedding(
        long rows, long features, long? paddingIndex = null, DType dtype = DType.Float32, Device? device = null, RandomSource? random = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(features, 1);
        if (paddingIndex < 0 || paddingIndex >= rows)
        {
            throw new ArgumentOutOfRangeException(nameof(paddingIndex), paddingIndex, $"Expected 0 to {rows - 1}, or none.");
        }

        _paddingIndex = paddingIndex;
        Weight = Register("weight", new Parameter([rows, features], dtype, device));
        Weight.FillNormal(1, random);
        if (paddingIndex is { } padding)
        {
            using var noGrad = NoGrad.Enter();
            using var scope = TensorScope.Begin();
            Weight.Slice(padding, 1).Fill(0);
        }
    }

    /// <summary>[rows, features].</summary>
    public Parameter Weight { get; }

    /// <inheritdoc/>
    internal override bool KeepsNoTensor => true;

    /// <summary>Looks vectors up.</summary>
    /// <param name="input">Their numbers: i32 or i64, any shape.</param>
    public override Tensor Forward(Tensor input) => Weight.Embedding(input, _paddingIndex);
}
