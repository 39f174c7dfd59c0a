// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// Batch normalisation of inputs [n, channels] or [n, channels, length], with a weight of ones and a bias of zeros at
/// first. In training mode it takes the statistics of the batch and keeps running ones, which it takes when predicting.
/// </summary>
/// <remarks>
/// The running statistics are buffers, "running_mean", "running_var" and "num_batches_tracked". A step that the scaler
/// skips has moved them, as in PyTorch. Under autocast the input is normalized in its own dtype, with f32 statistics.
/// </remarks>
public sealed class BatchNorm1d : Module<Tensor, Tensor>
{
    private readonly double? _momentum;

    /// <summary>Creates the layer.</summary>
    /// <param name="channels">Size of the input's second dimension.</param>
    /// <param name="eps">Added to the variance.</param>
    /// <param name="momentum">Share of a batch in the running statistics; null for an average over all batches.</param>
    /// <param name="affine">Whether there are a weight and a bias.</param>
    /// <param name="trackRunningStats">Whether there are running statistics; otherwise those of the batch are always taken.</param>
    /// <param name="dtype">Float32 or Float64.</param>
    /// <param name="device">Where parameters and buffers live; null for <see cref="Device.Default"/>.</param>
    public BatchNorm1d(
        long channels,
        double eps = 1e-5,
        double? momentum = 0.1,
        bool affine = true,
        bool trackRunningStats = true,
        DType dtype = DType.Float32,
        Device? device = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(channels, 1);
        (Channels, Eps, _momentum) = (channels, eps, momentum);
        if (affine)
        {
            Weight = Register("weight", new Parameter([channels], dtype, device));
            Weight.Fill(1);
            Bias = Register("bias", new Parameter([channels], dtype, device));
            Bias.Fill(0);
        }

        if (trackRunningStats)
        {
            RunningMean = RegisterBuffer("running_mean", Tensor.Zeros([channels], dtype, device));
            RunningVar = RegisterBuffer("running_var", Tensor.Full([channels], 1, dtype, device));
            BatchesTracked = RegisterBuffer("num_batches_tracked", Tensor.Zeros([], DType.Int64, device));
        }
    }

    /// <summary>Size of the input's second dimension.</summary>
    public long Channels { get; }

    /// <summary>Added to the variance.</summary>
    public double Eps { get; }

    /// <summary>[channels]; null when the layer has none.</summary>
    public Parameter? Weight { get; }

    /// <summary>[channels]; null when the layer has none.</summary>
    public Parameter? Bias { get; }

    /// <summary>[channels]; null when the layer keeps none.</summary>
    public Tensor? RunningMean { get; }

    /// <summary>[channels], of the unbiased variance; null when the layer keeps none.</summary>
    public Tensor? RunningVar { get; }

    /// <summary>Number of batches trained with, an i64 scalar; null when the layer keeps none.</summary>
    public Tensor? BatchesTracked { get; }

    /// <inheritdoc/>
    internal override bool KeepsNoTensor => true;

    /// <inheritdoc/>
    internal override bool IsBatchNorm => true;

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The input has another number of dimensions or channels, or training with one value for each channel.</exception>
    public override Tensor Forward(Tensor input)
    {
        if (input.Rank is not (2 or 3) || input.Shape[1] != Channels)
        {
            throw new ArgumentException($"batch_norm: the input is {input.Description}, expected [n,{Channels}] or [n,{Channels},length].", nameof(input));
        }

        return input.BatchNorm(RunningMean, RunningVar, Weight, Bias, IsTraining, _momentum, Eps, BatchesTracked);
    }
}
