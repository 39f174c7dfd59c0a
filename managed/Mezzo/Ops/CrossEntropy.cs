// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public static partial class Losses
{
    /// <summary>Cross entropy of logits and the class of each row: the mean of -log softmax(logits)[target].</summary>
    /// <param name="logits">[rows, classes], or [classes] for one row; 16-bit ones are read as they are and computed in f32.</param>
    /// <param name="target">[rows], or a scalar for one row: the class of each, i64, i32 or u8.</param>
    /// <param name="weight">[classes], f32 for 16-bit logits, else of their dtype; null for 1. The mean is weighted by that of the targets.</param>
    /// <param name="ignoreIndex">Target of rows that do not count; the mean of no rows is NaN.</param>
    /// <param name="labelSmoothing">Share of the target that all classes have alike, 0 to 1.</param>
    /// <param name="reduction">Mean or sum.</param>
    /// <returns>A scalar of the logits' dtype, f32 for 16-bit logits.</returns>
    /// <exception cref="MezzoException">
    /// On the CPU: a target is neither a class nor <paramref name="ignoreIndex"/>. On a GPU, which is not waited for, the loss
    /// and the gradient of the row are then NaN.
    /// </exception>
    public static Tensor CrossEntropy(
        Tensor logits, Tensor target, Tensor? weight = null, long ignoreIndex = -100, double labelSmoothing = 0, Reduction reduction = Reduction.Mean) =>
        Operation.Apply(
            new CrossEntropyOperation(ignoreIndex, labelSmoothing, (MezzoReduction)reduction), logits, target, weight);
}

/// <summary>
/// Cross entropy. Keeps the logits and, of each row, the largest one and the sum of the exponentials. The gradient of the
/// loss, which carries the loss scale, is applied inside the kernel that computes the gradient of the logits, before that
/// is rounded to their dtype.
/// </summary>
internal sealed class CrossEntropyOperation(long ignoreIndex, double labelSmoothing, MezzoReduction reduction) : Operation
{
    private const int LogitsIndex = 0;
    private const int TargetIndex = 1;
    private const int WeightIndex = 2;
    private SavedTensor _logits;
    private SavedTensor _target;
    private SavedTensor? _weight;
    private SavedTensor _maxima;
    private SavedTensor _sums;
    private SavedTensor _totals;

    public override string Name => "cross_entropy";

    public override CastPolicy CastPolicy => CastPolicy.Float32;

    internal override bool CastsInput(int index) => index != LogitsIndex;

    internal override void Describe(CaptureTrace trace)
    {
        trace.Mix(ignoreIndex);
        trace.Mix(labelSmoothing);
        trace.Mix((double)reduction);
    }

    protected override Tensor Forward()
    {
        var (logits, target, weight) = (Input(LogitsIndex), Input(TargetIndex), OptionalInput(WeightIndex));
        if (NeedsGradient(WeightIndex))
        {
            throw new NotSupportedException("cross_entropy: weight requires a gradient, which is not computed; Detach() it.");
        }

        var dtype = logits.DType.Arithmetic();
        var loss = Tensor.Allocate([], dtype, logits.Device);
        var (maxima, sums) = (Tensor.Allocate(target.Shape, dtype, logits.Device), Tensor.Allocate(target.Shape, dtype, logits.Device));
        var totals = Tensor.Allocate([2], DType.Float64, logits.Device);
        Calls.CrossEntropyForward(
            loss.Handle, maxima.Handle, sums.Handle, totals.Handle, logits.Handle, target.Handle, weight?.Handle ?? default, Desc());
        (_logits, _target) = (Save(logits), Save(target));
        _weight = SaveOptional(WeightIndex);
        (_maxima, _sums, _totals) = (SaveOwn(maxima), SaveOwn(sums), SaveOwn(totals));
        return loss;
    }

    protected override void Backward(Tensor gradOutput)
    {
        var gradLogits = MakeGradient(LogitsIndex)!;
        Calls.CrossEntropyBackward(
            gradLogits.Handle,
            _logits.Value.Handle,
            _target.Value.Handle,
            _maxima.Value.Handle,
            _sums.Value.Handle,
            _totals.Value.Handle,
            _weight?.Value.Handle ?? default,
            gradOutput.Handle,
            Desc());
        AddGradient(LogitsIndex, gradLogits);
    }

    private MezzoCrossEntropyDesc Desc() => new() { Reduction = reduction, IgnoreIndex = ignoreIndex, LabelSmoothing = labelSmoothing };
}
