// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>A fully connected layer: x W^T + b.</summary>
public sealed class Linear : Module<Tensor, Tensor>
{
    /// <summary>Creates the layer with PyTorch's default initialisation: weight and bias uniform in ±1/√inFeatures.</summary>
    /// <param name="inFeatures">Size of the input's last dimension.</param>
    /// <param name="outFeatures">Size of the output's last dimension.</param>
    /// <param name="bias">Whether there is a bias.</param>
    /// <param name="dtype">Float32 or Float64.</param>
    /// <param name="device">Where the parameters live; null for <see cref="Device.Default"/>.</param>
    /// <param name="random">Source of the initial values; null for <see cref="RandomSource.Default"/>.</param>
    public Linear(
        long inFeatures, long outFeatures, bool bias = true, DType dtype = DType.Float32, Device? device = null, RandomSource? random = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(inFeatures, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(outFeatures, 1);
        double bound = 1 / Math.Sqrt(inFeatures);
        Weight = Register("weight", new Parameter([outFeatures, inFeatures], dtype, device));
        Weight.FillUniform(bound, random);
        if (bias)
        {
            Bias = Register("bias", new Parameter([outFeatures], dtype, device));
            Bias.FillUniform(bound, random);
        }
    }

    /// <summary>[outFeatures, inFeatures].</summary>
    public Parameter Weight { get; }

    /// <summary>[outFeatures]; null when the layer has none.</summary>
    public Parameter? Bias { get; }

    /// <inheritdoc/>
    internal override bool KeepsNoTensor => true;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => input.Linear(Weight, Bias);

    /// <summary>The layer followed by ReLU, in one op.</summary>
    internal Tensor ForwardRelu(Tensor input) => input.LinearRelu(Weight, Bias);
}
