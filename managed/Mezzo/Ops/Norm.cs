// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// What the norms of rows have in common. Under autocast a 16-bit input is read as it is, with the bits of a cast to f32;
/// the result is f32, and the input's gradient has the input's dtype.
/// </summary>
/// <param name="normalizedShape">The trailing dimensions that are a row.</param>
internal abstract class NormOperation(long[] normalizedShape) : Operation
{
    protected const int InputIndex = 0;
    protected const int WeightIndex = 1;
    protected const int BiasIndex = 2;

    public override CastPolicy CastPolicy => CastPolicy.Float32;

    internal override bool CastsInput(int index) => index != InputIndex;

    internal override bool TakesMaster(int index) => index != InputIndex;

    /// <summary>A weight or bias as the norms take it: f32 where it is 16 bits wide.</summary>
    public static Tensor? Widened(Tensor? vector) => vector is not null && vector.DType.IsHalf() ? vector.To(DType.Float32) : vector;

    /// <summary>Keeps what the backward pass needs and the program has no reference to.</summary>
    protected SavedTensor SaveStatistic(Tensor statistic)
    {
        statistic.IsTransient = true;
        return Save(statistic);
    }

    /// <summary>A number for each row.</summary>
    protected Tensor AllocateForRows(Tensor input)
    {
        int leading = input.Rank - normalizedShape.Length;
        if (normalizedShape.Length == 0 || leading < 0 || !input.Shape[leading..].SequenceEqual(normalizedShape))
        {
            throw new ArgumentException(
                $"{Name}: the input is {input.Description}, expected normalizedShape [{string.Join(',', normalizedShape)}] as its last dimensions.");
        }

        return Tensor.Allocate(input.Shape[..leading], input.DType.IsHalf() ? DType.Float32 : input.DType, input.Device);
    }

    protected MezzoNormDesc Desc(double eps) => new() { Dims = normalizedShape.Length, Eps = eps };

    /// <summary>Notes the row for a capture.</summary>
    protected void DescribeRow(CaptureTrace trace) => Array.ForEach(normalizedShape, dimension => trace.Mix(dimension));
}
