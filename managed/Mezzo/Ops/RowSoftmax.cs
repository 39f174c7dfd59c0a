// SPDX-License-Identifier: MIT
using Mezzo.Autograd;

namespace Mezzo;

/// <summary>
/// What softmax and its logarithm have in common. Keeps the output. Under autocast a 16-bit input is read as it is, with
/// the bits of a cast to f32; the result is f32, and the input's gradient has the input's dtype.
/// </summary>
internal abstract class RowSoftmaxOperation : Operation
{
    private SavedTensor _output;

    public override CastPolicy CastPolicy => CastPolicy.Float32;

    internal override bool CastsInput(int index) => false;

    /// <summary>Throws unless a dimension is a tensor's last one.</summary>
    internal static void CheckDim(Tensor tensor, int dim, string op)
    {
        if (dim != -1 && dim != tensor.Rank - 1)
        {
            throw new ArgumentOutOfRangeException(nameof(dim), $"{op}: dim is {dim}, expected the last dimension, -1 or {tensor.Rank - 1} for {tensor.Description}.");
        }
    }

    protected sealed override Tensor Forward()
    {
        var input = Input(0);
        var output = Tensor.Allocate(input.Shape, Autocast.Float32ResultOf(input), input.Device);
        RunForward(output, input);
        _output = Save(output);
        return output;
    }

    protected sealed override void Backward(Tensor gradOutput)
    {
        var gradInput = MakeGradient(0)!;
        RunBackward(gradInput, gradOutput, _output.Value);
        AddGradient(0, gradInput);
    }

    protected abstract void RunForward(Tensor output, Tensor input);

    protected abstract void RunBackward(Tensor gradInput, Tensor gradOutput, Tensor output);
}
