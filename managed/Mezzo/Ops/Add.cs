// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>The elementwise sum of two tensors of one shape and dtype.</summary>
    public static Tensor operator +(Tensor left, Tensor right) => Operation.Apply(new AddOperation(), left, right);

    /// <inheritdoc cref="op_Addition(Tensor, Tensor)"/>
    public Tensor Add(Tensor other) => this + other;
}

/// <summary>Elementwise sum. The gradient of both inputs is that of the output.</summary>
internal sealed class AddOperation : Operation
{
    public override string Name => "add";

    public override CastPolicy CastPolicy => CastPolicy.Widest;

    protected override Tensor Forward()
    {
        var (a, b) = (Input(0), Input(1));
        var output = Tensor.Allocate(a.Shape, a.DType, a.Device);
        Calls.AddForward(output.Handle, a.Handle, b.Handle);
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        for (int i = 0; i < 2; i++)
        {
            if (NeedsGradient(i))
            {
                PassGradient(i, gradOutput);
            }
        }
    }
}
