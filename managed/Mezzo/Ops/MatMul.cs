// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>The matrix product of this tensor and another, or the products of batches of matrices.</summary>
    /// <param name="other">
    /// [..., k, n], where this tensor is [..., m, k]. The dimensions before the last two, the batch, are the same, or one of the two
    /// is a matrix alone, which is multiplied with each member of the other's batch. A vector [k] stands for one row on the left,
    /// for one column on the right, and the result lacks that dimension.
    /// </param>
    /// <param name="transposeThis">Whether this tensor's last two dimensions are k, m.</param>
    /// <param name="transposeOther">Whether the other's last two dimensions are n, k.</param>
    /// <returns>[..., m, n], of the inputs' dtype.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit.</exception>
    public Tensor MatMul(Tensor other, bool transposeThis = false, bool transposeOther = false)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (Rank > 1 && other.Rank > 1)
        {
            return Operation.Apply(new MatMulOperation(transposeThis, transposeOther), this, other);
        }

        if (Rank == 0 || other.Rank == 0)
        {
            throw new ArgumentException($"matmul: {Description} by {other.Description}, expected at least one dimension in each.");
        }

        var left = Rank > 1 ? this : transposeThis ? Reshape(-1, 1) : Reshape(1, -1);
        var right = other.Rank > 1 ? other : transposeOther ? other.Reshape(1, -1) : other.Reshape(-1, 1);
        var product = left.MatMul(right, transposeThis, transposeOther);
        var shape = product.Shape.ToArray().ToList();
        if (other.Rank == 1)
        {
            shape.RemoveAt(shape.Count - 1);
        }

        if (Rank == 1)
        {
            shape.RemoveAt(shape.Count - (other.Rank == 1 ? 1 : 2));
        }

        return product.Reshape([.. shape]);
    }
}

/// <summary>
/// Product of matrices or batches of them. Keeps both inputs; the gradients are products with the output's gradient,
/// that of a matrix which a whole batch used is their sum.
/// </summary>
internal sealed class MatMulOperation(bool transposeLeft, bool transposeRight) : Operation
{
    private readonly uint _allowTf32 = Runtime.AllowTf32 ? 1u : 0;
    private SavedTensor _left;
    private SavedTensor _right;

    public override string Name => "matmul";

    public override CastPolicy CastPolicy => CastPolicy.LowPrecision;

    public override RecomputeClass RecomputeClass => RecomputeClass.Dear;

    internal override void Describe(CaptureTrace trace)
    {
        trace.Mix(transposeLeft ? 1 : 0);
        trace.Mix(transposeRight ? 1 : 0);
        trace.Mix(_allowTf32);
    }

    protected override Tensor Forward()
    {
        var (left, right) = (Input(0), Input(1));
        var output = Tensor.Allocate(OutputShape(left, right), left.DType, left.Device);
        Multiply(output, left, right, transposeLeft, transposeRight);
        _left = Save(left);
        _right = Save(right);
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        var (left, right) = (_left.Value, _right.Value);
        if (LendGradient(0) is { } gradLeft)
        {
            if (transposeLeft)
            {
                Multiply(gradLeft.Tensor, right, gradOutput, transposeRight, true, gradLeft.Accumulates);
            }
            else
            {
                Multiply(gradLeft.Tensor, gradOutput, right, false, !transposeRight, gradLeft.Accumulates);
            }

            gradLeft.Commit();
        }

        if (LendGradient(1) is { } gradRight)
        {
            if (transposeRight)
            {
                Multiply(gradRight.Tensor, gradOutput, left, true, transposeLeft, gradRight.Accumulates);
            }
            else
            {
                Multiply(gradRight.Tensor, left, gradOutput, !transposeLeft, false, gradRight.Accumulates);
            }

            gradRight.Commit();
        }
    }

    private void Multiply(Tensor output, Tensor left, Tensor right, bool leftTransposed, bool rightTransposed, bool accumulate = false) =>
        Calls.MatmulForward(
            output.Handle,
            left.Handle,
            right.Handle,
            new MezzoMatmulDesc
            {
                ATransposed = leftTransposed ? 1u : 0,
                BTransposed = rightTransposed ? 1u : 0,
                Accumulate = accumulate ? 1u : 0,
                AllowTf32 = _allowTf32,
            });

    private long[] OutputShape(Tensor left, Tensor right)
    {
        var (rows, depth) = transposeLeft ? (left.Shape[^1], left.Shape[^2]) : (left.Shape[^2], left.Shape[^1]);
        var (columns, otherDepth) = transposeRight ? (right.Shape[^2], right.Shape[^1]) : (right.Shape[^1], right.Shape[^2]);
        var batch = left.Shape[..^2];
        var otherBatch = right.Shape[..^2];
        bool batchesFit = batch.IsEmpty || otherBatch.IsEmpty || batch.SequenceEqual(otherBatch);
        return depth == otherDepth && batchesFit
            ? [.. batch.IsEmpty ? otherBatch : batch, rows, columns]
            : throw new ArgumentException(
                $"matmul: {left.Description}{(transposeLeft ? " transposed" : "")} by {right.Description}{(transposeRight ? " transposed" : "")}, " +
                $"expected {depth} rows in the second and the same batch or none.");
    }
}
