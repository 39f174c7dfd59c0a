// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo.Autograd;

/// <summary>
/// The gradient of one tensor while it is being summed up: of an op's output during a backward pass, or
/// of a leaf until it is cleared.
/// </summary>
/// <param name="of">The tensor.</param>
/// <param name="isLeaf">
/// Whether the sum is what the program sees as <see cref="Tensor.Grad"/>, whose elements must then be nobody else's.
/// </param>
internal sealed class GradientSlot(Tensor of, bool isLeaf)
{
    private readonly long[] _shape = of.Shape.ToArray();
    private readonly DType _dtype = of.DType;
    private readonly Device _device = of.Device;
    private bool _isShared;
    private bool _isLent;

    /// <summary>The sum so far; null when nothing has been added.</summary>
    public Tensor? Value { get; private set; }

    /// <summary>
    /// Lends a buffer to an op that writes or adds to a gradient by itself. The sum changes when the buffer
    /// is committed, so that an op that fails leaves no undefined elements behind.
    /// </summary>
    public GradientBuffer Lend()
    {
        if (Value is null || _isLent)
        {
            return new GradientBuffer(this, Allocate(), accumulates: false);
        }

        if (_isShared)
        {
            Replace(Copy(Value));
        }

        _isLent = true;
        return new GradientBuffer(this, Value, accumulates: true);
    }

    /// <summary>Takes a written buffer back.</summary>
    public void Commit(GradientBuffer buffer)
    {
        if (buffer.Accumulates)
        {
            _isLent = false;
        }
        else
        {
            Add(buffer.Tensor);
        }
    }

    /// <summary>Adds a gradient and takes it over: the caller must not use it again.</summary>
    public void Add(Tensor gradient)
    {
        if (Value is null)
        {
            Value = gradient;
            return;
        }

        var sum = _isShared ? Allocate() : Value;
        Calls.AddForward(sum.Handle, Value.Handle, gradient.Handle);
        gradient.Dispose();
        if (_isShared)
        {
            Replace(sum);
        }
    }

    /// <summary>Adds a gradient of which the caller, or another slot, goes on using the elements.</summary>
    public void AddShared(Tensor gradient)
    {
        if (isLeaf)
        {
            Add(Copy(gradient));
            return;
        }

        bool isFirst = Value is null;
        Add(gradient.ViewOwned(_shape));
        _isShared |= isFirst;
    }

    /// <summary>Hands the sum to the caller, who owns it from now on, and empties the slot.</summary>
    public Tensor? Take()
    {
        var value = Value;
        Value = null;
        _isShared = _isLent = false;
        return value;
    }

    /// <summary>Frees the sum and empties the slot.</summary>
    public void Clear() => Take()?.Dispose();

    private Tensor Allocate() => Tensor.AllocateOwned(_shape, _dtype, _device);

    private Tensor Copy(Tensor tensor)
    {
        var copy = Allocate();
        Calls.TensorCopy(copy.Handle, tensor.Handle);
        return copy;
    }

    private void Replace(Tensor value)
    {
        Value!.Dispose();
        Value = value;
        _isShared = false;
    }
}

/// <summary>A gradient that an op is about to write, or to add to.</summary>
internal readonly struct GradientBuffer(GradientSlot slot, Tensor tensor, bool accumulates)
{
    /// <summary>Where to write.</summary>
    public Tensor Tensor => tensor;

    /// <summary>Whether the buffer holds a sum that the op must add to.</summary>
    public bool Accumulates => accumulates;

    /// <summary>Says that the gradient is written.</summary>
    public void Commit() => slot.Commit(this);
}
