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
    private readonly DType _dtype = of.GradientDType;
    private readonly Device _device = of.Device;
    private bool _isLent;
    private CheckedGradient? _checked;

    /// <summary>The sum so far; null when nothing has been added.</summary>
    public Tensor? Value { get; private set; }

    /// <summary>Whether another slot has the same elements, so that they must not be overwritten.</summary>
    public bool IsShared { get; private set; }

    /// <summary>The check for Inf and NaN that the gradient belongs to, if any.</summary>
    public GradientCheck? Check => _checked?.Check;

    /// <summary>Whether the sum has been set to 0 where the tensor is at most 0.</summary>
    public bool IsMasked { get; private set; }

    /// <summary>
    /// Lends a buffer to an op that writes or adds to a gradient by itself. The sum changes when the buffer
    /// is committed, so that an op that fails leaves no undefined elements behind.
    /// </summary>
    /// <param name="reusable">
    /// A tensor whose elements the op may overwrite: where it fits, the buffer is a view of it instead of new memory.
    /// </param>
    public GradientBuffer Lend(Tensor? reusable = null)
    {
        if (Value is null || _isLent)
        {
            bool fits = Value is null && reusable is not null && reusable.DType == _dtype && reusable.Shape.SequenceEqual(_shape);
            return new GradientBuffer(this, fits ? reusable!.ViewOwned(_shape) : Allocate(), accumulates: false);
        }

        if (IsShared)
        {
            Replace(Copy(Value));
        }

        _isLent = true;
        return new GradientBuffer(this, Value, accumulates: true);
    }

    /// <summary>Takes a written buffer back.</summary>
    /// <param name="buffer">What was lent.</param>
    /// <param name="isChecked">Whether the op has checked what it wrote for <see cref="Check"/>.</param>
    public void Commit(GradientBuffer buffer, bool isChecked)
    {
        bool isWhole = buffer.Accumulates || Value is null;
        if (buffer.Accumulates)
        {
            _isLent = false;
        }
        else
        {
            Add(buffer.Tensor);
        }

        _checked?.Write(Value!, isChecked, isWhole);
    }

    /// <summary>Says that an op failed that may have had a buffer, and may have checked what nobody will see.</summary>
    public void Abandon()
    {
        _isLent = false;
        Check?.Invalidate();
    }

    /// <summary>Lets a check be told of what happens to the gradient.</summary>
    public void Watch(GradientCheck check)
    {
        if (Check != check)
        {
            _checked?.Clear();
            _checked = new CheckedGradient(check);
        }
    }

    /// <summary>Whether a check has seen the gradient as it is.</summary>
    public bool IsCheckedBy(GradientCheck check) => Check == check && Value is not null && _checked!.Covers(Value);

    /// <summary>Says that the gradient just committed, the only one there will be, is masked.</summary>
    public void MarkMasked() => IsMasked = true;

    /// <summary>
    /// Adds a gradient and takes it over: the caller must not use it again. One in another dtype, of an op that took the parameter's
    /// 16-bit copy, is cast.
    /// </summary>
    public void Add(Tensor gradient)
    {
        if (gradient.DType != _dtype)
        {
            var cast = Allocate();
            Calls.CastForward(cast.Handle, gradient.Handle);
            gradient.Dispose();
            gradient = cast;
        }

        if (Value is null)
        {
            Value = gradient;
        }
        else
        {
            var sum = IsShared ? Allocate() : Value;
            Calls.AddForward(sum.Handle, Value.Handle, gradient.Handle);
            gradient.Dispose();
            if (IsShared)
            {
                Replace(sum);
            }
        }

        _checked?.Write(Value, isChecked: false, isWhole: true);
    }

    /// <summary>Adds a gradient of which the caller, or another slot, goes on using the elements.</summary>
    public void AddShared(Tensor gradient)
    {
        if (isLeaf)
        {
            Add(gradient.DType == _dtype ? Copy(gradient) : gradient.ViewOwned(_shape));
            return;
        }

        bool isFirst = Value is null;
        Add(gradient.ViewOwned(_shape));
        IsShared |= isFirst;
    }

    /// <summary>Hands the sum to the caller, who owns it from now on, and empties the slot.</summary>
    public Tensor? Take()
    {
        var value = Value;
        Value = null;
        _checked?.Clear();
        IsShared = IsMasked = _isLent = false;
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
        IsShared = false;
    }
}

/// <summary>A gradient that an op is about to write, or to add to.</summary>
internal readonly struct GradientBuffer(GradientSlot slot, Tensor tensor, bool accumulates)
{
    /// <summary>Where to write.</summary>
    public Tensor Tensor => tensor;

    /// <summary>Whether the buffer holds a sum that the op must add to.</summary>
    public bool Accumulates => accumulates;

    /// <summary>The check for Inf and NaN that the gradient belongs to, if any.</summary>
    public GradientCheck? Check => slot.Check;

    /// <summary>Says that the gradient is written.</summary>
    /// <param name="isChecked">Whether it was checked for <see cref="Check"/> as it was written.</param>
    public void Commit(bool isChecked = false) => slot.Commit(this, isChecked);
}
