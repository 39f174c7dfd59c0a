// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>
    /// Batch normalisation: each channel, the second dimension, is brought to mean 0 and variance 1, scaled and shifted.
    /// (x - mean) / √(variance + eps) · weight + bias.
    /// </summary>
    /// <param name="runningMean">[channels], moved towards the batch's mean when training; null for none.</param>
    /// <param name="runningVar">[channels], moved towards the batch's unbiased variance; null where the mean is.</param>
    /// <param name="weight">[channels]; null for 1.</param>
    /// <param name="bias">[channels]; null for 0.</param>
    /// <param name="training">Whether statistics are the batch's; so are they too where none are running.</param>
    /// <param name="momentum">Share of the batch in what is running; null for an average over all batches, which needs <paramref name="batches"/>.</param>
    /// <param name="eps">Added to the variance.</param>
    /// <param name="batches">An i64 scalar that counts the batches trained with; null for none.</param>
    /// <returns>The tensor's shape and dtype. Statistics and all vectors are f32 for a 16-bit tensor.</returns>
    /// <exception cref="ArgumentException">Training with one value for each channel.</exception>
    public Tensor BatchNorm(
        Tensor? runningMean,
        Tensor? runningVar,
        Tensor? weight = null,
        Tensor? bias = null,
        bool training = false,
        double? momentum = 0.1,
        double eps = 1e-5,
        Tensor? batches = null) =>
        Operation.Apply(
            new BatchNormOperation(new(runningMean, runningVar, batches), training || runningMean is null, momentum, eps),
            this,
            NormOperation.Widened(weight),
            NormOperation.Widened(bias));
}

/// <summary>What a batch normalisation keeps from batch to batch.</summary>
/// <param name="Mean">Running mean; null for none.</param>
/// <param name="Variance">Running variance; null for none.</param>
/// <param name="Batches">Number of batches; null for none.</param>
internal readonly record struct RunningStatistics(Tensor? Mean, Tensor? Variance, Tensor? Batches);

/// <summary>Batch normalisation. Keeps input and weight, and mean and reciprocal deviation of each channel.</summary>
internal sealed class BatchNormOperation(RunningStatistics running, bool training, double? momentum, double eps) : NormOperation
{
    public override string Name => "batch_norm";

    internal override void Describe(CaptureTrace trace)
    {
        trace.Mix(running.Mean);
        trace.Mix(running.Variance);
        trace.Mix(running.Batches);
        trace.Mix(training ? 1 : 0);
        trace.Mix(momentum ?? -1);
        trace.Mix(eps);
    }

    protected override Tensor Forward()
    {
        var (input, weight, bias) = (Input(InputIndex), OptionalInput(WeightIndex), OptionalInput(BiasIndex));
        if (training && input.Rank >= 2 && input.ElementCount == input.Shape[1])
        {
            throw new ArgumentException($"Expected more than 1 value per channel when training, got input size {input.Description}.");
        }

        var output = Tensor.Allocate(input.Shape, input.DType, input.Device);
        var (mean, rstd) = (AllocateForChannels(input), AllocateForChannels(input));
        var moved = training && ChangesNothing ? default : running;
        if (training)
        {
            TrainingStep.Current?.Buffers?.BeforeChange(moved.Mean, moved.Variance, moved.Batches);
        }

        Calls.BatchNormForward(
            output.Handle,
            mean.Handle,
            rstd.Handle,
            moved.Mean?.Handle ?? default,
            moved.Variance?.Handle ?? default,
            moved.Batches?.Handle ?? default,
            input.Handle,
            weight?.Handle ?? default,
            bias?.Handle ?? default,
            Desc());
        if (training)
        {
            moved.Mean?.MarkChanged();
            moved.Variance?.MarkChanged();
            moved.Batches?.MarkChanged();
        }
        else
        {
            // The gradient does not need them, but recomputing does.
            Save(running.Mean!);
            Save(running.Variance!);
        }

        SaveForBackward(mean, rstd);
        return output;
    }

    protected override void RunBackward(NormBackward tensors) => Calls.BatchNormBackward(
        tensors.GradInput, tensors.GradWeight, tensors.GradBias, tensors.GradOutput, tensors.Input, tensors.Mean, tensors.Rstd, tensors.Weight, Desc());

    /// <summary>A number for each channel.</summary>
    private static Tensor AllocateForChannels(Tensor input) =>
        Tensor.Allocate([input.Rank >= 2 ? input.Shape[1] : 1], input.DType.Arithmetic(), input.Device);

    private MezzoBatchNormDesc Desc() => new()
    {
        Training = training ? 1 : 0,
        Momentum = momentum ?? 0,
        Cumulative = momentum is null ? 1 : 0,
        Eps = eps,
    };
}
