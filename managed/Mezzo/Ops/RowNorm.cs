// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// What the norms of rows have in common. Under autocast a 16-bit input is read as it is, with the bits of a cast to f32;
/// the result is f32, and the input's gradient has the input's dtype.
/// </summary>
/// <param name="normalizedShape">The trailing dimensions that are a row.</param>
/// <param name="eps">Added to what the root is taken of.</param>
internal abstract class RowNormOperation(long[] normalizedShape, double eps) : NormOperation
{
    public override CastPolicy CastPolicy => CastPolicy.Float32;

    internal override bool CastsInput(int index) => index != InputIndex;

    /// <summary>A number for each row.</summary>
    protected Tensor AllocateForRows(Tensor input)
    {
        int leading = input.Rank - normalizedShape.Length;
        if (normalizedShape.Length == 0 || leading < 0 || !input.Shape[leading..].SequenceEqual(normalizedShape))
        {
            throw new ArgumentException(
                $"{Name}: the input is {input.Description}, expected normalizedShape [{string.Join(',', normalizedShape)}] as its last dimensions.");
        }

        return Tensor.Allocate(input.Shape[..leading], input.DType.Arithmetic(), input.Device);
    }

    protected MezzoNormDesc Desc() => new() { Dims = normalizedShape.Length, Eps = eps };

    /// <summary>Notes row and eps for a capture.</summary>
    protected void DescribeRow(CaptureTrace trace)
    {
        Array.ForEach(normalizedShape, dimension => trace.Mix(dimension));
        trace.Mix(eps);
    }
}
