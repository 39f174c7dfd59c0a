// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// A tensor that a module learns. It belongs to no <see cref="TensorScope"/>, requires a gradient, and
/// keeps a 16-bit copy of itself for autocast, which the optimizer writes in the pass that updates it.
/// </summary>
public sealed class Parameter : Tensor
{
    private readonly Dictionary<DType, Companion> _copies = [];
    private Companion? _remainder; // of a bf16 parameter: the lower halves of f32 numbers
    private Companion? _latest;
    private Companion? _stepped; // what the latest step wrote beside the elements
    private string? _name;

    /// <summary>
    /// Path in the module whose parameters were listed last, as "trunk.0.weight"; its dtype and shape while no module has
    /// listed it.
    /// </summary>
    public string Name
    {
        get => _name ?? Description;
        internal set => _name = value;
    }

    /// <summary>
    /// The 16-bit dtype that ops see instead of the f32 elements, which the optimizer updates; null where they see the parameter as it
    /// is. See <see cref="Amp"/>.
    /// </summary>
    public DType? ComputeDType { get; private set; }

    /// <summary>Creates a parameter of undefined elements.</summary>
    /// <param name="shape">Dimensions.</param>
    /// <param name="dtype">Float32 or Float64.</param>
    /// <param name="device">Where to allocate; null for <see cref="Device.Default"/>.</param>
    /// <exception cref="ArgumentException"><paramref name="dtype"/> is neither f32 nor f64.</exception>
    public Parameter(ReadOnlySpan<long> shape, DType dtype = DType.Float32, Device? device = null)
        : this(shape, dtype, device ?? Device.Default)
    {
    }

    private Parameter(ReadOnlySpan<long> shape, DType dtype, Device device)
        : base(Create(shape, dtype, device), shape.ToArray(), dtype, device)
    {
        RequiresGrad = true;
    }

    /// <summary>Whether <see cref="CastTo"/> has been called.</summary>
    internal bool IsCast => ComputeDType is not null || DType.IsHalf();

    /// <summary>Makes ops see the parameter, which is f32, in a 16-bit dtype from now on. Its gradient is cleared.</summary>
    internal void CastTo(DType dtype, MasterWeights masters)
    {
        ClearGrad();
        if (masters == MasterWeights.Float32)
        {
            ComputeDType = dtype;
            return;
        }

        float[] values = masters == MasterWeights.Remainder ? ToArray<float>() : [];
        var cast = AllocateHandle(Shape, dtype, Device);
        Calls.CastForward(cast, Handle);
        ReplaceElements(cast, dtype);
        if (masters == MasterWeights.Remainder)
        {
            _remainder = new Companion(AllocateOwned([2 * ElementCount], DType.UInt8, Device));
            WriteFullPrecision(values);
        }
    }

    /// <summary>The elements as the optimizer has them: f32 where the parameter is 16 bits wide or has a remainder.</summary>
    internal float[] ReadFullPrecision() => DType switch
    {
        DType.Float32 => ToArray<float>(),
        DType.Float16 => Array.ConvertAll(ToArray<Half>(), value => (float)value),
        DType.BFloat16 when CurrentRemainder() is { } remainder => SplitFloat.Join(ToArray<BFloat16>(), remainder.ToArray<byte>()),
        DType.BFloat16 => Array.ConvertAll(ToArray<BFloat16>(), value => (float)value),
        _ => throw new InvalidOperationException($"The parameter {Name} is {Description}, which f32 does not hold."),
    };

    /// <summary>The way back.</summary>
    internal void WriteFullPrecision(ReadOnlySpan<float> values)
    {
        if (_remainder is not null)
        {
            var (upper, lower) = SplitFloat.Split(values);
            Write<BFloat16>(upper);
            _remainder.Tensor.Write<byte>(lower);
            _remainder.MarkCurrent(Version);
        }
        else if (DType == DType.Float16)
        {
            Write<Half>(Array.ConvertAll(values.ToArray(), value => (Half)value));
        }
        else if (DType == DType.BFloat16)
        {
            Write<BFloat16>(Array.ConvertAll(values.ToArray(), value => (BFloat16)value));
        }
        else
        {
            Write(values);
        }
    }

    /// <inheritdoc/>
    internal override DType GradientDType => _remainder is null ? DType : DType.Float32;

    /// <summary>In which form the elements are kept, in words.</summary>
    internal string Form => ComputeDType is { } compute ? $"{DType.ShortName()} seen as {compute.ShortName()}"
        : _remainder is not null ? $"{DType.ShortName()} with remainder"
        : DType.ShortName();

    /// <inheritdoc/>
    internal override DType SavedDType => DType.Arithmetic();

    /// <inheritdoc/>
    internal override Tensor AsSaved() => DType.IsHalf() ? Create(ReadFullPrecision(), Shape, Device.Cpu) : this;

    /// <inheritdoc/>
    internal override void TakeOver(Tensor saved)
    {
        if (DType.IsHalf())
        {
            WriteFullPrecision(saved.ToArray<float>());
        }
        else
        {
            CopyFrom(saved);
        }
    }

    /// <summary>What an op takes that autocast casts nothing for.</summary>
    internal Tensor AsComputed() => ComputeDType is { } dtype ? LowPrecisionCopy(dtype) : this;

    /// <summary>Overwrites the elements with uniform random numbers in [-bound, bound).</summary>
    internal void FillUniform(double bound, RandomSource? random)
    {
        Calls.RandomUniform(Handle, -bound, bound, (random ?? RandomSource.Default).Next());
        MarkChanged();
    }

    /// <summary>Overwrites the elements with normal random numbers of mean 0.</summary>
    internal void FillNormal(double deviation, RandomSource? random)
    {
        Calls.RandomNormal(Handle, 0, deviation, (random ?? RandomSource.Default).Next());
        MarkChanged();
    }

    /// <summary>The elements in a 16-bit dtype. Cast anew only if they changed other than by an optimizer's step.</summary>
    internal Tensor LowPrecisionCopy(DType dtype)
    {
        CaptureTrace.Current?.Use(this, dtype);
        if (!_copies.TryGetValue(dtype, out _latest))
        {
            _latest = new Companion(AllocateOwned(Shape, dtype, Device));
            _latest.Tensor.GradientOwner = this;
            _latest.Tensor.IsParameterCopy = true;
            _copies.Add(dtype, _latest);
        }

        if (_latest.OfVersion != Version)
        {
            Calls.CastForward(_latest.Tensor.Handle, Handle);
            _latest.MarkWritten(Version);
            CaptureTrace.Current?.Cast(_latest.Forget);
        }

        return _latest.Tensor;
    }

    /// <summary>
    /// The copy, of the dtype asked for last, that an optimizer must write with the elements, or their remainder; the null tensor when
    /// there is none.
    /// </summary>
    internal MezzoTensor CopyHandle => (CurrentRemainder() ?? _latest?.Tensor)?.Handle ?? default;

    /// <summary>Notes that an optimizer wrote the elements and the copy, or, when it skipped the step, neither.</summary>
    internal void MarkStepped()
    {
        var written = _remainder ?? _latest;
        CountStep(written);
        CaptureTrace.Current?.OnLaunch(() => CountStep(written));
    }

    /// <summary>Takes back what the latest <see cref="MarkStepped"/> noted, once it is known that the optimizer wrote nothing.</summary>
    internal void UnmarkStepped()
    {
        UncountChange();
        if (_stepped is { } companion)
        {
            companion.Tensor.UncountChange();
            companion.MarkCurrent(Version);
        }
    }

    /// <inheritdoc/>
    private protected override void FreeAttached()
    {
        base.FreeAttached();
        foreach (var copy in _copies.Values)
        {
            copy.Tensor.Dispose();
        }

        _copies.Clear();
        _remainder?.Tensor.Dispose();
        _latest = _stepped = _remainder = null;
    }

    private static MezzoTensor Create(ReadOnlySpan<long> shape, DType dtype, Device device) =>
        dtype is DType.Float32 or DType.Float64
            ? AllocateHandle(shape, dtype, device)
            : throw new ArgumentException($"A parameter is f32 or f64, got {dtype.ShortName()}; autocast makes the 16-bit copies.", nameof(dtype));

    /// <summary>The remainder, if there is one: 0 where the parameter has been written since, and before launches of a capture likewise.</summary>
    private Tensor? CurrentRemainder()
    {
        if (_remainder is not { } remainder)
        {
            return null;
        }

        if (CaptureTrace.Recording is { } recording)
        {
            recording.OnBeforeLaunch(this, _ => Refresh());
        }
        else
        {
            Refresh();
        }

        return remainder.Tensor;

        void Refresh()
        {
            if (remainder.OfVersion != Version)
            {
                remainder.Tensor.Fill(0);
                remainder.MarkCurrent(Version);
            }
        }
    }

    private void CountStep(Companion? written)
    {
        _stepped = written?.OfVersion == Version ? written : null;
        CountChange();
        _stepped?.MarkWritten(Version);
    }

    /// <summary>What belongs to the elements, a copy or the remainder, and the version of the parameter that it belongs to.</summary>
    private sealed class Companion(Tensor tensor)
    {
        public Tensor Tensor { get; } = tensor;

        public int OfVersion { get; private set; } = -1;

        public void MarkWritten(int version)
        {
            Tensor.CountChange();
            OfVersion = version;
        }

        public void MarkCurrent(int version) => OfVersion = version;

        public void Forget() => OfVersion = -1;
    }
}
