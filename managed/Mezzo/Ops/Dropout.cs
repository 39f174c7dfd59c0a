// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>Sets random elements to 0 and multiplies the others by 1 / (1 - p), so that the mean stays what it was.</summary>
    /// <param name="p">Share of the elements to drop, from 0 to 1.</param>
    /// <param name="training">False gives the tensor itself.</param>
    /// <param name="random">
    /// Source of the seed and, outside of a trainer's steps, the stream; null for <see cref="RandomSource.Default"/>.
    /// </param>
    /// <remarks>
    /// No mask is stored: the backward pass draws it again. In the steps of a <see cref="Trainer"/> each step and each call
    /// within it draws a mask of its own, whether the step runs op by op or as a graph; elsewhere each call takes the next
    /// stream of the source, which is not possible while a <see cref="Graph"/> is captured.
    /// </remarks>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="p"/> is not from 0 to 1.</exception>
    public Tensor Dropout(double p = 0.5, bool training = true, RandomSource? random = null)
    {
        if (!(p is >= 0 and <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(p), p, "The share of elements to drop must be from 0 to 1.");
        }

        return training && p > 0 ? Operation.Apply(new DropoutOperation(p, StepRandom.NextDraw(Device, random)), this) : this;
    }
}

/// <summary>Dropout. Keeps nothing but which mask it has drawn.</summary>
internal sealed class DropoutOperation(double p, RandomDraw draw) : Operation
{
    public override string Name => "dropout";

    internal override void Describe(CaptureTrace trace)
    {
        trace.Mix(p);
        draw.Describe(trace);
    }

    protected override Tensor Forward()
    {
        if (IsRecomputing)
        {
            draw.CheckStep(Name);
        }

        var input = Input(0);
        var output = Tensor.Allocate(input.Shape, input.DType, input.Device);
        Calls.DropoutForward(output.Handle, input.Handle, Desc());
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        draw.CheckStep(Name);
        var gradInput = MakeGradient(0)!;
        Calls.DropoutForward(gradInput.Handle, gradOutput.Handle, Desc());
        AddGradient(0, gradInput);
    }

    private MezzoDropoutDesc Desc() => new() { P = p, Seed = draw.Seed, Stream = draw.Stream, Step = draw.Step?.Tensor.Handle ?? default };
}
