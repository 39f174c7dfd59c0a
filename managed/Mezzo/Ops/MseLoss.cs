// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

/// <summary>How a loss is reduced to a scalar.</summary>
public enum Reduction
{
    /// <summary>Divided by the number of elements.</summary>
    Mean = 0,

    /// <summary>Not divided.</summary>
    Sum = 1,
}

/// <summary>Loss functions.</summary>
public static partial class Losses
{
    /// <summary>Mean squared error.</summary>
    /// <param name="prediction">Any shape; f32 or f64, or 16-bit under autocast, which computes losses in f32.</param>
    /// <param name="target">Shape and dtype of the prediction. No gradient flows to it.</param>
    /// <param name="reduction">Mean or sum.</param>
    /// <returns>A scalar of the prediction's dtype.</returns>
    public static Tensor Mse(Tensor prediction, Tensor target, Reduction reduction = Reduction.Mean) =>
        Operation.Apply(new MseLossOperation((MezzoReduction)reduction), prediction, target);
}

/// <summary>
/// Mean squared error. The gradient of the loss, which carries the loss scale, is applied inside the
/// kernel that computes the gradient of the prediction, before that is rounded.
/// </summary>
internal sealed class MseLossOperation(MezzoReduction reduction) : Operation
{
    private SavedTensor _prediction;
    private SavedTensor _target;

    public override string Name => "mse_loss";

    public override CastPolicy CastPolicy => CastPolicy.Float32;

    internal override void Describe(CaptureTrace trace) => trace.Mix((double)reduction);

    protected override Tensor Forward()
    {
        var (prediction, target) = (Input(0), Input(1));
        if (NeedsGradient(1))
        {
            throw new NotSupportedException("mse_loss: target requires a gradient, which is not computed; Detach() it.");
        }

        var loss = Tensor.Allocate([], prediction.DType, prediction.Device);
        Calls.MseLossForward(loss.Handle, default, prediction.Handle, target.Handle, default, Desc());
        _prediction = Save(prediction);
        _target = Save(target);
        return loss;
    }

    protected override void Backward(Tensor gradOutput)
    {
        var gradPrediction = MakeGradient(0)!;
        Calls.MseLossForward(
            default, gradPrediction.Handle, _prediction.Value.Handle, _target.Value.Handle, gradOutput.Handle, Desc());
        AddGradient(0, gradPrediction);
    }

    private MezzoMseLossDesc Desc() => new() { Reduction = reduction };
}
