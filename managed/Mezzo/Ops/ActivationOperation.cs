// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

/// <summary>An elementwise activation, whose gradient takes one tensor of the forward pass: the input or the output.</summary>
internal abstract class ActivationOperation : Operation
{
    /// <summary>Whether the gradient takes the output; else the input.</summary>
    protected abstract bool SavesOutput { get; }

    /// <summary>That tensor.</summary>
    protected SavedTensor Saved { get; private set; }

    protected abstract void RunForward(MezzoTensor output, MezzoTensor input);

    protected abstract void RunBackward(MezzoTensor gradInput, MezzoTensor gradOutput, MezzoTensor saved);

    protected override Tensor Forward()
    {
        var input = Input(0);
        var output = Tensor.Allocate(input.Shape, input.DType, input.Device);
        RunForward(output.Handle, input.Handle);
        Saved = Save(SavesOutput ? output : input);
        return output;
    }

    protected override void Backward(Tensor gradOutput)
    {
        var gradInput = MakeGradient(0)!;
        RunBackward(gradInput.Handle, gradOutput.Handle, Saved.Value.Handle);
        AddGradient(0, gradInput);
    }
}
