// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>Tensors one after the other along a dimension.</summary>
    /// <param name="tensors">At least one; their shapes differ in that dimension alone. Under autocast all are cast to the widest dtype.</param>
    /// <param name="dim">The dimension; a negative one counts from the last, -1.</param>
    /// <exception cref="ArgumentException">There is no tensor, or the shapes or dtypes do not fit.</exception>
    public static Tensor Concat(ReadOnlySpan<Tensor> tensors, int dim = 0)
    {
        if (tensors.IsEmpty)
        {
            throw new ArgumentException("concat: expected at least one tensor.", nameof(tensors));
        }

        int rank = tensors[0].Rank;
        int resolved = dim < 0 ? dim + rank : dim;
        return resolved >= 0 && resolved < rank
            ? Operation.Apply(new ConcatOperation(resolved), tensors!)
            : throw new ArgumentOutOfRangeException(nameof(dim), $"concat: dimension {dim} of {tensors[0].Description}, expected {-rank} to {rank - 1}.");
    }
}

/// <summary>Tensors joined along a dimension. The gradient of each is its part of the output's.</summary>
internal sealed class ConcatOperation(int dim) : Operation
{
    public override string Name => "concat";

    public override CastPolicy CastPolicy => CastPolicy.Widest;

    internal override void Describe(CaptureTrace trace) => trace.Mix(dim);

    protected override Tensor Forward()
    {
        var first = Input(0);
        long[] shape = first.Shape.ToArray();
        var handles = new MezzoTensor[InputCount];
        shape[dim] = 0;
        for (int i = 0; i < handles.Length; i++)
        {
            var input = Input(i);
            shape[dim] += input.Rank > dim ? input.Shape[dim] : 0;
            handles[i] = input.Handle;
        }

        var output = Tensor.Allocate(shape, first.DType, first.Device);
        Calls.ConcatForward(output.Handle, handles, dim);
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        long start = 0;
        for (int i = 0; i < InputCount; i++)
        {
            if (MakeGradient(i) is { } gradInput)
            {
                Calls.ConcatBackward(gradInput.Handle, gradOutput.Handle, dim, start);
                AddGradient(i, gradInput);
            }

            start += Input(i).Shape[dim];
        }
    }
}
