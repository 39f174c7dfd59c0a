// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>A part of the leading dimension, without a copy.</summary>
    /// <param name="start">First index.</param>
    /// <param name="length">Number of indices, at least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The part reaches beyond the leading dimension, or the tensor is a scalar.</exception>
    public Tensor Slice(long start, long length)
    {
        long extent = Rank == 0 ? 0 : Shape[0];
        if (start < 0 || length < 1 || start > extent - length)
        {
            throw new ArgumentOutOfRangeException(
                nameof(start), $"Slice {start}..{start + length} lies outside the leading dimension of {Description}, which has {extent} indices.");
        }

        return Operation.Apply(new SliceOperation(start, length), this);
    }
}

/// <summary>A part of the leading dimension. The gradient is zero outside it.</summary>
internal sealed class SliceOperation(long start, long length) : Operation
{
    public override string Name => "slice";

    internal override void Describe(CaptureTrace trace)
    {
        trace.Mix(start);
        trace.Mix(length);
    }

    protected override Tensor Forward() => TensorScope.Adopt(View(Input(0)));

    protected override void Backward(Tensor gradOutput)
    {
        var gradInput = MakeGradient(0)!;
        Calls.Fill(gradInput.Handle, 0);
        using (var part = View(gradInput))
        {
            Calls.TensorCopy(part.Handle, gradOutput.Handle);
        }

        AddGradient(0, gradInput);
    }

    private Tensor View(Tensor tensor)
    {
        long[] shape = tensor.Shape.ToArray();
        shape[0] = length;
        return tensor.ViewOwned(shape, start * (tensor.ElementCount / tensor.Shape[0]));
    }
}
