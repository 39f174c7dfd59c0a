// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>x - log Σ exp(x) over the last dimension.</summary>
    /// <param name="dim">The last dimension, as -1 or by its number.</param>
    /// <returns>The tensor's shape and dtype; f32 for a 16-bit tensor under autocast.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="dim"/> is another dimension.</exception>
    public Tensor LogSoftmax(int dim = -1)
    {
        RowSoftmaxOperation.CheckDim(this, dim, "log_softmax");
        return Operation.Apply(new LogSoftmaxOperation(), this);
    }
}

/// <summary>Logarithm of the softmax.</summary>
internal sealed class LogSoftmaxOperation : RowSoftmaxOperation
{
    public override string Name => "log_softmax";

    protected override void RunForward(Tensor output, Tensor input) => Calls.LogSoftmaxForward(output.Handle, input.Handle);

    protected override void RunBackward(Tensor gradInput, Tensor gradOutput, Tensor output) =>
        Calls.LogSoftmaxBackward(gradInput.Handle, gradOutput.Handle, output.Handle);
}
