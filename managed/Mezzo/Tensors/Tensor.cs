// SPDX-License-Identifier: MIT
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// A row-major array of numbers on a device.
/// </summary>
/// <remarks>
/// A tensor made inside a <see cref="TensorScope"/> is freed when the scope ends, so that a training step
/// needs no disposal; <see cref="Keep"/> lets one outlive it. A tensor made outside any scope lives until
/// it is disposed or collected. Ops are methods of this class, one file each under <c>Ops/</c>.
/// </remarks>
public partial class Tensor : IDisposable
{
    private readonly long[] _shape;
    private readonly StrongBox<int> _version;
    private MezzoTensor _handle;

    private protected Tensor(MezzoTensor handle, long[] shape, DType dtype, Device device, StrongBox<int>? version = null)
    {
        _handle = handle;
        _shape = shape;
        _version = version ?? new StrongBox<int>();
        DType = dtype;
        Device = device;
        CaptureTrace.Current?.Made(handle, shape, dtype);
    }

    /// <summary>Frees the memory of a tensor that no scope freed.</summary>
    ~Tensor() => Free();

    /// <summary>Dimensions, outermost first; empty for a scalar.</summary>
    public ReadOnlySpan<long> Shape => _shape;

    /// <summary>Element type.</summary>
    public DType DType { get; private set; }

    /// <summary>Where the elements live.</summary>
    public Device Device { get; }

    /// <summary>Number of dimensions, 0 for a scalar.</summary>
    public int Rank => _shape.Length;

    /// <summary>Number of elements, 1 for a scalar.</summary>
    public long ElementCount
    {
        get
        {
            long count = 1;
            foreach (long dimension in _shape)
            {
                count *= dimension;
            }

            return count;
        }
    }

    /// <summary>Whether the memory has been freed.</summary>
    public bool IsDisposed => _handle.Id == 0 && !IsDropped;

    /// <summary>The tensor's dtype and shape as messages show it, such as <c>f32[20000,150]</c>.</summary>
    public string Description => $"{DType.ShortName()}[{string.Join(',', _shape)}]";

    /// <summary>The native handle.</summary>
    /// <exception cref="ObjectDisposedException">The tensor has been freed.</exception>
    internal MezzoTensor Handle
    {
        get
        {
            if (!BackwardPass.IsRunning)
            {
                ExpectValues();
            }

            BringBack();
            return IsDisposed
                ? throw new ObjectDisposedException(
                    nameof(Tensor), $"The tensor {Description} has been freed: its scope has ended or it was disposed. Keep() lets a tensor outlive its scope.")
                : _handle;
        }
    }

    /// <summary>The scope that will free the tensor, if any.</summary>
    internal TensorScope? Scope { get; set; }

    /// <summary>
    /// Number of changes made to the elements in place, counted together with all views of them. Autograd
    /// compares it to tell a saved tensor that was overwritten before its gradient was computed.
    /// </summary>
    internal int Version => _version.Value;

    /// <summary>Copies the elements to a new array.</summary>
    /// <typeparam name="T">The C# type of the dtype: float, double, Half, BFloat16, long, int or byte.</typeparam>
    /// <exception cref="InvalidOperationException"><typeparamref name="T"/> is not the dtype's C# type.</exception>
    public T[] ToArray<T>()
        where T : unmanaged
    {
        ExpectElementType<T>();
        TapeObserver.TellOfRead(this);
        var values = new T[ElementCount];
        Calls.TensorRead(values.AsSpan(), Handle);
        GC.KeepAlive(this);
        return values;
    }

    /// <summary>Reads the one element of a floating-point tensor. Waits for the work that computes it.</summary>
    /// <exception cref="InvalidOperationException">The tensor has more than one element or is not floating point.</exception>
    public double Item()
    {
        if (ElementCount != 1)
        {
            throw new InvalidOperationException($"Item() reads a tensor of one element, but this one is {Description}.");
        }

        return DType switch
        {
            DType.Float64 => ToArray<double>()[0],
            DType.Float32 => ToArray<float>()[0],
            DType.Float16 => (double)ToArray<Half>()[0],
            DType.BFloat16 => (float)ToArray<BFloat16>()[0],
            _ => throw new InvalidOperationException($"Item() reads a floating-point tensor, but this one is {Description}."),
        };
    }

    /// <summary>Overwrites the elements.</summary>
    /// <typeparam name="T">The C# type of the dtype.</typeparam>
    /// <param name="values">All elements in row-major order.</param>
    /// <exception cref="ArgumentException">The number of values is not that of the elements.</exception>
    /// <exception cref="InvalidOperationException"><typeparamref name="T"/> is not the dtype's C# type.</exception>
    public void Write<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        ExpectElementType<T>();
        if (values.Length != ElementCount)
        {
            throw new ArgumentException($"The tensor {Description} has {ElementCount} elements, got {values.Length} values.", nameof(values));
        }

        ExpectWritable();
        Calls.TensorWrite(Handle, values);
        MarkChanged();
        GC.KeepAlive(this);
    }

    /// <summary>Overwrites the elements with those of a tensor of the same shape and dtype, on any device.</summary>
    /// <exception cref="ArgumentException">Shape or dtype differ.</exception>
    public void CopyFrom(Tensor source)
    {
        if (source.DType != DType || !source.Shape.SequenceEqual(Shape))
        {
            throw new ArgumentException($"The source is {source.Description}, expected {Description}.", nameof(source));
        }

        ExpectWritable();
        TapeObserver.TellOfRead(source);
        Calls.TensorCopy(Handle, source.Handle);
        CaptureTrace.Current?.Mix(this);
        CaptureTrace.Current?.Mix(source);
        MarkChanged();
        GC.KeepAlive(this);
        GC.KeepAlive(source);
    }

    /// <summary>Sets every element to a value.</summary>
    public void Fill(double value)
    {
        ExpectWritable();
        Calls.Fill(Handle, value);
        CaptureTrace.Current?.Mix(this);
        CaptureTrace.Current?.Mix(value);
        MarkChanged();
        GC.KeepAlive(this);
    }

    /// <summary>Dtype that the tensor's gradient is summed up in.</summary>
    internal virtual DType GradientDType => DType;

    /// <summary>Whether the elements are a parameter's 16-bit copy, or a view of one, so that nobody but its owner may write them.</summary>
    internal bool IsParameterCopy { get; set; }

    /// <summary>Whether the elements are those of another tensor, so that the memory is freed when both are.</summary>
    internal bool IsView { get; private init; }

    /// <summary>Dtype that the elements are saved in.</summary>
    internal virtual DType SavedDType => DType;

    /// <summary>The tensor as it is saved: itself, or f32 numbers where a parameter has them in 16 bits.</summary>
    internal virtual Tensor AsSaved() => this;

    /// <summary>Overwrites the elements with those that were saved, of <see cref="SavedDType"/>.</summary>
    internal virtual void TakeOver(Tensor saved) => CopyFrom(saved);

    /// <summary>Lets the tensor outlive the current scope: the enclosing scope frees it, or its owner where there is none.</summary>
    /// <returns>The tensor itself.</returns>
    public Tensor Keep()
    {
        LeaveRegion();
        Scope?.Release(this);
        return this;
    }

    /// <summary>
    /// Frees the memory now, or, where a checkpointed region computes other tensors once more from this one, when it has. Views of
    /// the same elements stay usable.
    /// </summary>
    [SuppressMessage("Usage", "CA1816", Justification = "A tensor that waits to be freed may still be left to its finalizer.")]
    public void Dispose()
    {
        if (HoldCount > 0)
        {
            IsTransient = true;
        }
        else if (Region is { IsInUse: true })
        {
            Drop();
        }
        else
        {
            FreeNow();
        }
    }

    /// <summary>Frees the memory, whoever may need it.</summary>
    [SuppressMessage("Usage", "CA1816", Justification = "What Dispose does, unless it must wait.")]
    internal void FreeNow()
    {
        Scope?.Forget(this);
        FreeAttached();
        FreeStash();
        Free();
        (IsDropped, Region) = (false, null);
        GC.SuppressFinalize(this);
    }

    /// <inheritdoc/>
    public override string ToString() => IsDisposed ? $"{Description} (freed)" : $"{Description} on {Device}";

    /// <summary>Replaces elements and dtype, for whoever uses the tensor from now on.</summary>
    private protected void ReplaceElements(MezzoTensor handle, DType dtype)
    {
        FreeAttached();
        Free();
        (_handle, DType) = (handle, dtype);
        _leafGradient = null;
        MarkChanged();
    }

    /// <summary>Tells autograd that the elements were changed in place, now and by each launch of what is being captured.</summary>
    internal void MarkChanged()
    {
        CountChange();
        CaptureTrace.Current?.OnLaunch(CountChange);
    }

    /// <summary>Tells autograd that the elements were changed in place, once.</summary>
    internal void CountChange() => _version.Value++;

    /// <summary>Takes the latest <see cref="CountChange"/> back, before anything has been saved since.</summary>
    internal void UncountChange() => _version.Value--;

    /// <summary>Allocates a tensor of undefined elements that no scope owns: a parameter, a gradient, a state.</summary>
    internal static Tensor AllocateOwned(ReadOnlySpan<long> shape, DType dtype, Device device) =>
        new(AllocateHandle(shape, dtype, device), shape.ToArray(), dtype, device);

    /// <summary>
    /// Allocates elements. Where memory runs out, tensors that the program has dropped outside any scope are
    /// collected, and it tries again: the garbage collector does not see how much they hold.
    /// </summary>
    private protected static MezzoTensor AllocateHandle(ReadOnlySpan<long> shape, DType dtype, Device device)
    {
        try
        {
            return Calls.TensorCreate(device.Id, (MezzoDType)dtype, shape);
        }
        catch (MezzoException exception) when (exception.Status == MezzoStatus.OutOfMemory)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return Calls.TensorCreate(device.Id, (MezzoDType)dtype, shape);
        }
    }

    /// <summary>Allocates a tensor of undefined elements that the current scope owns.</summary>
    internal static Tensor Allocate(ReadOnlySpan<long> shape, DType dtype, Device device) =>
        TensorScope.Adopt(AllocateOwned(shape, dtype, device));

    /// <summary>A second tensor over the same elements or a part of them, which no scope owns.</summary>
    internal Tensor ViewOwned(ReadOnlySpan<long> shape, long offset = 0)
    {
        CaptureTrace.Current?.Mix(this);
        CaptureTrace.Current?.Mix(offset);
        var view = new Tensor(Calls.TensorView(Handle, offset, shape), shape.ToArray(), DType, Device, _version) { IsParameterCopy = IsParameterCopy, IsView = true };
        GC.KeepAlive(this);
        return view;
    }

    /// <summary>Frees tensors that only this one refers to. Not called by the finalizer, as they have their own.</summary>
    private protected virtual void FreeAttached() => ClearGrad();

    private void ExpectWritable()
    {
        if (IsParameterCopy)
        {
            throw new InvalidOperationException(
                $"The tensor {Description} is a parameter's 16-bit copy, or a part of it, which the next step overwrites: write to the parameter itself.");
        }
    }

    private void ExpectElementType<T>()
        where T : unmanaged
    {
        DType given = DTypes.Of<T>();
        if (given != DType)
        {
            throw new InvalidOperationException(
                $"The tensor {Description} holds {DType.ShortName()}, but {typeof(T).Name} stands for {given.ShortName()}.");
        }
    }

    private void Free()
    {
        if (_handle.Id != 0)
        {
            var handle = _handle;
            _handle = default;
            Calls.TensorDestroy(handle);
        }
    }
}
