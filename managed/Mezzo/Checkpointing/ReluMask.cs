// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo.Checkpointing;

/// <summary>One bit for each element of a ReLU's output: whether the gradient passes, which is all that its backward pass asks.</summary>
internal sealed class ReluMask : Stash
{
    private const int ElementsPerByte = 8;
    private readonly long[] _shape;
    private readonly DType _dtype;
    private readonly Tensor _mask;

    public ReluMask(Tensor output)
    {
        (_shape, _dtype) = (output.Shape.ToArray(), output.DType);
        _mask = Tensor.AllocateOwned([Bytes(output.ElementCount)], DType.UInt8, output.Device);
        Calls.ReluMaskPack(_mask.Handle, output.Handle);
    }

    public override bool HoldsValues => false;

    /// <summary>Bytes of the mask of so many elements.</summary>
    public static long Bytes(long elements) => (elements + ElementsPerByte - 1) / ElementsPerByte;

    public override Tensor Restore()
    {
        var output = Tensor.AllocateOwned(_shape, _dtype, _mask.Device);
        Calls.ReluMaskUnpack(output.Handle, _mask.Handle);
        return output;
    }

    public override void Dispose() => _mask.Dispose();
}
