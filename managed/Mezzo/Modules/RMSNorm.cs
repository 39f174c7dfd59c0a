// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Division of rows by their root mean square, with a weight of ones at first.</summary>
public sealed class RMSNorm : Module<Tensor, Tensor>
{
    private readonly long[] _normalizedShape;

    /// <summary>Creates the layer for rows of one dimension.</summary>
    /// <param name="features">Size of the input's last dimension.</param>
    /// <param name="eps">Added to the mean square; null for the epsilon of the arithmetic.</param>
    /// <param name="elementwiseAffine">Whether there is a weight.</param>
    /// <param name="dtype">Float32 or Float64.</param>
    /// <param name="device">Where the parameter lives; null for <see cref="Device.Default"/>.</param>
    public RMSNorm(long features, double? eps = null, bool elementwiseAffine = true, DType dtype = DType.Float32, Device? device = null)
        : this([features], eps, elementwiseAffine, dtype, device)
    {
    }

    /// <summary>Creates the layer.</summary>
    /// <param name="normalizedShape">The input's last dimensions, which are a row.</param>
    /// <param name="eps">Added to the mean square; null for the epsilon of the arithmetic.</param>
    /// <param name="elementwiseAffine">Whether there is a weight.</param>
    /// <param name="dtype">Float32 or Float64.</param>
    /// <param name="device">Where the parameter lives; null for <see cref="Device.Default"/>.</param>
    public RMSNorm(
        ReadOnlySpan<long> normalizedShape, double? eps = null, bool elementwiseAffine = true, DType dtype = DType.Float32, Device? device = null)
    {
        _normalizedShape = normalizedShape.ToArray();
        Eps = eps;
        if (elementwiseAffine)
        {
            Weight = Register("weight", new Parameter(normalizedShape, dtype, device));
            Weight.Fill(1);
        }
    }

    /// <summary>Of the normalized shape; null when the layer has none.</summary>
    public Parameter? Weight { get; }

    /// <summary>Added to the mean square; null for the epsilon of the arithmetic.</summary>
    public double? Eps { get; }

    /// <inheritdoc/>
    internal override bool KeepsNoTensor => true;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => input.RmsNorm(_normalizedShape, Weight, Eps);
}
