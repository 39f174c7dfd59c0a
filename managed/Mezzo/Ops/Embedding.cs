// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>The rows of this matrix that indices name: the result's row i is row <c>indices[i]</c>.</summary>
    /// <param name="indices">
    /// i32 or i64, any shape, each from 0 to the number of rows - 1. Another one is an error on the CPU; on a GPU its row is NaN.
    /// </param>
    /// <param name="paddingIndex">A row that gets no gradient; null for none.</param>
    /// <returns>[..., features], where ... is the shape of the indices.</returns>
    public Tensor Embedding(Tensor indices, long? paddingIndex = null)
    {
        ArgumentNullException.ThrowIfNull(indices);
        return Operation.Apply(new EmbeddingOperation(paddingIndex), this, indices);
    }
}

/// <summary>Rows of a matrix by their numbers. Keeps the indices; the gradient of a row is the sum over its uses.</summary>
internal sealed class EmbeddingOperation(long? paddingIndex) : Operation
{
    private SavedTensor _indices;

    public override string Name => "embedding";

    internal override void Describe(CaptureTrace trace) => trace.Mix(paddingIndex ?? -1);

    protected override Tensor Forward()
    {
        var (weight, indices) = (Input(0), Input(1));
        if (weight.Rank != 2)
        {
            throw new ArgumentException($"embedding: the weight is {weight.Description}, expected [rows, features].");
        }

        if (paddingIndex < 0 || paddingIndex >= weight.Shape[0])
        {
            throw new ArgumentException($"embedding: the padding index is {paddingIndex}, expected 0 to {weight.Shape[0] - 1}.");
        }

        var output = Tensor.Allocate([.. indices.Shape, weight.Shape[1]], weight.DType, weight.Device);
        Calls.EmbeddingForward(output.Handle, weight.Handle, indices.Handle);
        _indices = Save(indices);
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        if (LendGradient(0) is { } gradWeight)
        {
            Calls.EmbeddingBackward(
                gradWeight.Tensor.Handle,
                gradOutput.Handle,
                _indices.Value.Handle,
                new MezzoEmbeddingDesc { Accumulate = gradWeight.Accumulates ? 1u : 0, PaddingIndex = paddingIndex ?? -1 });
            gradWeight.Commit();
        }
    }
}
