// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public static partial class Losses
{
    /// <summary>Binary cross-entropy of logits, the numbers that a sigmoid would turn into probabilities.</summary>
    /// <param name="logits">Any shape; a floating-point dtype. 16-bit ones are read and their gradient written as they are.</param>
    /// <param name="target">Shape of the logits, from 0 to 1; f32 for 16-bit logits, else their dtype. No gradient flows to it.</param>
    /// <param name="weight">Factor of each element's loss, shape and dtype of the target; null for 1.</param>
    /// <param name="posWeight">
    /// Factor of the loss of positive targets: a scalar, or one for each entry of the logits' last dimension; the target's
    /// dtype; null for 1.
    /// </param>
    /// <param name="reduction">Mean or sum.</param>
    /// <returns>A scalar of the target's dtype.</returns>
    public static Tensor BinaryCrossEntropyWithLogits(
        Tensor logits, Tensor target, Tensor? weight = null, Tensor? posWeight = null, Reduction reduction = Reduction.Mean) =>
        Operation.Apply(new BinaryCrossEntropyOperation((MezzoReduction)reduction, fromLogits: true), logits, target, weight, posWeight);

    /// <summary>
    /// Binary cross-entropy of probabilities; logarithms below -100 count as -100. Where the probabilities are those of a
    /// sigmoid, <see cref="BinaryCrossEntropyWithLogits"/> is more exact.
    /// </summary>
    /// <param name="probability">Any shape, from 0 to 1; a floating-point dtype.</param>
    /// <param name="target">Shape of the probabilities, from 0 to 1; f32 for 16-bit ones, else their dtype. No gradient flows to it.</param>
    /// <param name="weight">Factor of each element's loss, shape and dtype of the target; null for 1.</param>
    /// <param name="reduction">Mean or sum.</param>
    /// <returns>A scalar of the target's dtype.</returns>
    /// <exception cref="InvalidOperationException">Autocast is on.</exception>
    public static Tensor BinaryCrossEntropy(Tensor probability, Tensor target, Tensor? weight = null, Reduction reduction = Reduction.Mean) =>
        Autocast.Current is null
            ? Operation.Apply(new BinaryCrossEntropyOperation((MezzoReduction)reduction, fromLogits: false), probability, target, weight, null)
            : throw new InvalidOperationException(
                "binary_cross_entropy: probabilities near 0 and 1 cannot be told apart in 16 bits, so it is unsafe to autocast. "
                    + "Leave the sigmoid before it out and call Losses.BinaryCrossEntropyWithLogits, which is safe.");
}

/// <summary>
/// Binary cross-entropy. The gradient of the loss, which carries the loss scale, is applied inside the kernel that computes
/// the gradient of the input, before that is rounded.
/// </summary>
internal sealed class BinaryCrossEntropyOperation(MezzoReduction reduction, bool fromLogits) : Operation
{
    private SavedTensor _input;
    private SavedTensor _target;
    private SavedTensor? _weight;
    private SavedTensor? _posWeight;

    public override string Name => "binary_cross_entropy";

    public override CastPolicy CastPolicy => CastPolicy.Float32;

    internal override void Describe(CaptureTrace trace)
    {
        trace.Mix((double)reduction);
        trace.Mix(fromLogits ? 1 : 0);
    }

    /// <summary>16-bit logits are computed in f32 anyway: a cast would be one more pass over memory.</summary>
    internal override bool CastsInput(int index) => index > 0;

    protected override Tensor Forward()
    {
        var (input, target) = (Input(0), Input(1));
        foreach (var (index, name) in new[] { (1, "target"), (2, "weight"), (3, "posWeight") })
        {
            if (NeedsGradient(index))
            {
                throw new NotSupportedException($"binary_cross_entropy: {name} requires a gradient, which is not computed; Detach() it.");
            }
        }

        var loss = Tensor.Allocate([], input.DType.Arithmetic(), input.Device);
        Calls.BinaryCrossEntropyForward(
            loss.Handle, default, input.Handle, target.Handle, HandleOf(OptionalInput(2)), HandleOf(OptionalInput(3)), default, Desc());
        _input = Save(input);
        _target = Save(target);
        _weight = SaveOptional(2);
        _posWeight = SaveOptional(3);
        return loss;
    }

    protected override void Backward(Tensor gradOutput)
    {
        var gradInput = MakeGradient(0)!;
        Calls.BinaryCrossEntropyForward(
            default, gradInput.Handle, _input.Value.Handle, _target.Value.Handle, HandleOf(_weight?.Value), HandleOf(_posWeight?.Value), gradOutput.Handle, Desc());
        AddGradient(0, gradInput);
    }

    private static MezzoTensor HandleOf(Tensor? tensor) => tensor?.Handle ?? default;

    private MezzoBinaryCrossEntropyDesc Desc() => new() { Reduction = reduction, FromLogits = fromLogits ? 1u : 0u };
}
