// SPDX-License-Identifier: MIT
using Mezzo.Autograd;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>The same elements in another shape, without a copy. One dimension may be -1, for what is left.</summary>
    /// <exception cref="ArgumentException">The number of elements is not that of the tensor.</exception>
    public Tensor Reshape(params ReadOnlySpan<long> shape) =>
        Operation.Apply(new ReshapeOperation(ResolveShape(shape)), this);

    private long[] ResolveShape(ReadOnlySpan<long> shape)
    {
        long[] resolved = shape.ToArray();
        int open = Array.IndexOf(resolved, -1);
        long known = 1;
        for (int i = 0; i < resolved.Length; i++)
        {
            known *= i == open ? 1 : resolved[i];
        }

        if (open >= 0 && known > 0)
        {
            resolved[open] = ElementCount / known;
            known *= resolved[open];
        }

        return known == ElementCount
            ? resolved
            : throw new ArgumentException($"The shape [{string.Join(',', shape.ToArray())}] does not fit the {ElementCount} elements of {Description}.", nameof(shape));
    }
}

/// <summary>Another shape over the same elements. The gradient takes the shape back.</summary>
internal sealed class ReshapeOperation(long[] shape) : Operation
{
    public override string Name => "reshape";

    internal override void Describe(CaptureTrace trace) => Array.ForEach(shape, dimension => trace.Mix(dimension));

    protected override Tensor Forward() => TensorScope.Adopt(Input(0).ViewOwned(shape));

    protected override void Backward(Tensor gradOutput) => PassGradient(0, gradOutput);
}
