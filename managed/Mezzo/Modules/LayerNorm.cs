// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Layer normalisation over the trailing dimensions, with a weight of ones and a bias of zeros at first.</summary>
public sealed class LayerNorm : Module<Tensor, Tensor>
{
    private readonly long[] _normalizedShape;

    /// <summary>Creates the layer for rows of one dimension.</summary>
    /// <param name="features">Size of the input's last dimension.</param>
    /// <param name="eps">Added to the variance.</param>
    /// <param name="elementwiseAffine">Whether there are a weight and, with <paramref name="bias"/>, a bias.</param>
    /// <param name="bias">Whether there is a bias.</param>
    /// <param name="dtype">Float32 or Float64.</param>
    /// <param name="device">Where the parameters live; null for <see cref="Device.Default"/>.</param>
    public LayerNorm(
        long features, double eps = 1e-5, bool elementwiseAffine = true, bool bias = true, DType dtype = DType.Float32, Device? device = null)
        : this([features], eps, elementwiseAffine, bias, dtype, device)
    {
    }

    /// <summary>Creates the layer.</summary>
    /// <param name="normalizedShape">The input's last dimensions, which are a row.</param>
    /// <param name="eps">Added to the variance.</param>
    /// <param name="elementwiseAffine">Whether there are a weight and, with <paramref name="bias"/>, a bias.</param>
    /// <param name="bias">Whether there is a bias.</param>
    /// <param name="dtype">Float32 or Float64.</param>
    /// <param name="device">Where the parameters live; null for <see cref="Device.Default"/>.</param>
    public LayerNorm(
        ReadOnlySpan<long> normalizedShape, double eps = 1e-5, bool elementwiseAffine = true, bool bias = true, DType dtype = DType.Float32, Device? device = null)
    {
        _normalizedShape = normalizedShape.ToArray();
        Eps = eps;
        if (elementwiseAffine)
        {
            Weight = Register("weight", new Parameter(normalizedShape, dtype, device));
            Weight.Fill(1);
            if (bias)
            {
                Bias = Register("bias", new Parameter(normalizedShape, dtype, device));
                Bias.Fill(0);
            }
        }
    }

    /// <summary>Of the normalized shape; null when the layer has none.</summary>
    public Parameter? Weight { get; }

    /// <summary>Of the normalized shape; null when the layer has none.</summary>
    public Parameter? Bias { get; }

    /// <summary>Added to the variance.</summary>
    public double Eps { get; }

    /// <inheritdoc/>
    internal override bool KeepsNoTensor => true;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => input.LayerNorm(_normalizedShape, Weight, Bias, Eps);
}
