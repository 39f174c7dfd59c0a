// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>exp(x) / Σ exp(x) over the last dimension.</summary>
    /// <param name="dim">The last dimension, as -1 or by its number.</param>
    /// <returns>The tensor's shape and dtype; f32 for a 16-bit tensor under autocast.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="dim"/> is another dimension.</exception>
    public Tensor Softmax(int dim = -1)
    {
        RowSoftmaxOperation.CheckDim(this, dim, "softmax");
        return Operation.Apply(new SoftmaxOperation(), this);
    }
}

/// <summary>Softmax: exponentials of a row divided by their sum.</summary>
internal sealed class SoftmaxOperation : RowSoftmaxOperation
{
    public override string Name => "softmax";

    protected override void RunForward(Tensor output, Tensor input) => Calls.SoftmaxForward(output.Handle, input.Handle);

    protected override void RunBackward(Tensor gradInput, Tensor gradOutput, Tensor output) =>
        Calls.SoftmaxBackward(gradInput.Handle, gradOutput.Handle, output.Handle);
}
