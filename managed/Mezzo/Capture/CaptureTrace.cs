// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// What happens on the host while ops are captured, as far as a launch must do it again or a second capture is
/// compared with it. Belongs to the thread that captures.
/// </summary>
/// <param name="isRecording">
/// Whether ops are being captured. Otherwise they run; it is noted which 16-bit copies of parameters are in use, and
/// whether anything was changed that was there before.
/// </param>
/// <param name="device">The device that is captured; null where none is.</param>
internal sealed class CaptureTrace(bool isRecording, Device? device = null) : IDisposable
{
    [ThreadStatic]
    private static CaptureTrace? _current;
    private static long _lastNumber;

    private readonly Dictionary<MezzoTensor, ulong> _made = [];
    private readonly Dictionary<Tensor, (bool RequiredGrad, object Form)> _read = [];
    private readonly Dictionary<Tensor, Tensor?> _gradientsBefore = [];
    private readonly HashSet<Tensor> _scaledBefore = [];
    private readonly List<LaunchedGradient> _gradients = [];
    private readonly HashSet<(Parameter Parameter, DType DType)> _copies = [];
    private readonly Dictionary<Module, bool> _modes = [];
    private readonly List<Action> _castsToForget = [];
    private readonly Dictionary<object, (Action<int> Prepare, int Count)> _launchPreparations = [];
    private readonly List<Action> _launchEffects = [];

    /// <summary>The trace that the calling thread writes to; null for none.</summary>
    public static CaptureTrace? Current => _current;

    /// <summary>The trace of the capture that the calling thread is in; null for none.</summary>
    public static CaptureTrace? Recording => _current is { IsRecording: true } recording ? recording : null;

    /// <summary>What no other trace has, from 1.</summary>
    public long Number { get; } = Interlocked.Increment(ref _lastNumber);

    /// <summary>The device whose ops are being captured; null where none are.</summary>
    public Device? Device { get; } = device;

    /// <summary>Whether ops are being captured.</summary>
    public bool IsRecording { get; } = isRecording;

    /// <summary>Whether work that was run could be run once more as if it had not been: it has changed nothing that was there before.</summary>
    public bool IsRepeatable { get; private set; } = true;

    /// <summary>Equal for two captures of the same ops on the same tensors with the same numbers.</summary>
    public ulong Signature { get; private set; }

    /// <summary>Runs work that writes to this trace.</summary>
    public void Run(Action work)
    {
        var outer = _current;
        _current = this;
        try
        {
            work();
        }
        finally
        {
            _current = outer;
        }
    }

    /// <summary>Notes a number that the work depends on.</summary>
    public void Mix(double value) => Mix(BitConverter.DoubleToUInt64Bits(value));

    /// <summary>Notes a tensor that the work depends on: one made during the capture by its place among those, another by its identity.</summary>
    public void Mix(Tensor? tensor)
    {
        if (!IsRecording || tensor is null)
        {
            Mix(0UL);
        }
        else if (_made.TryGetValue(tensor.Handle, out ulong place))
        {
            Mix(place);
        }
        else
        {
            Mix(~tensor.Handle.Id);
            _read.TryAdd(tensor, (tensor.RequiresGrad, FormOf(tensor)));
        }
    }

    /// <summary>Notes an op.</summary>
    public void Apply(Operation operation, ReadOnlySpan<Tensor?> inputs)
    {
        if (!IsRecording)
        {
            return;
        }

        Mix((ulong)operation.Name.GetHashCode(StringComparison.Ordinal));
        foreach (var input in inputs)
        {
            Mix(input);
        }

        operation.Describe(this);
    }

    /// <summary>Notes a new tensor.</summary>
    public void Made(MezzoTensor handle, ReadOnlySpan<long> shape, DType dtype)
    {
        if (!IsRecording)
        {
            return;
        }

        _made[handle] = (ulong)_made.Count + 1;
        Mix((ulong)dtype);
        foreach (long dimension in shape)
        {
            Mix((ulong)dimension);
        }
    }

    /// <summary>Notes that a parameter's 16-bit copy is in use.</summary>
    public void Use(Parameter parameter, DType dtype) => _copies.Add((parameter, dtype));

    /// <summary>Notes that the work depends on a module's mode.</summary>
    public void Use(Module module, bool isTraining) => _modes.TryAdd(module, isTraining);

    /// <summary>Notes that a copy is cast anew, which has not happened when the capture ends.</summary>
    /// <param name="forget">Makes the copy stale again.</param>
    public void Cast(Action forget)
    {
        if (IsRecording)
        {
            _castsToForget.Add(forget);
        }
    }

    /// <summary>Notes what the host must do before each launch, which it has not done in the capture.</summary>
    /// <param name="owner">Whose preparation it is: those of one owner are made together.</param>
    /// <param name="prepare">Called with the number of times that this was noted.</param>
    public void OnBeforeLaunch(object owner, Action<int> prepare)
    {
        if (IsRecording)
        {
            _launchPreparations[owner] = (prepare, _launchPreparations.GetValueOrDefault(owner).Count + 1);
        }
    }

    /// <summary>Notes what the host must do after each launch, as it did in the capture.</summary>
    public void OnLaunch(Action effect)
    {
        IsRepeatable = false;
        if (IsRecording)
        {
            _launchEffects.Add(effect);
        }
    }

    /// <summary>Notes a leaf whose gradient is about to change.</summary>
    public void WriteGradient(Tensor leaf)
    {
        if (!_made.ContainsKey(leaf.Handle) && _gradientsBefore.TryAdd(leaf, leaf.Grad))
        {
            if (leaf.IsGradScaled)
            {
                _scaledBefore.Add(leaf);
            }

            IsRepeatable &= leaf.Grad is null;
        }
    }

    /// <summary>
    /// Ends the capture well. Gradients that it gave to leaves are the graph's from now on, and the leaves have views
    /// of them, which may be cleared.
    /// </summary>
    public void Complete()
    {
        ForgetCasts();
        foreach (var (leaf, before) in _gradientsBefore)
        {
            bool isScaled = leaf.IsGradScaled;
            if (before is null && leaf.TakeGrad() is { } gradient)
            {
                _gradients.Add(new LaunchedGradient(leaf, gradient, isScaled));
            }
        }
    }

    /// <summary>Ends the capture badly: nothing that the host noted of it has happened.</summary>
    public void Undo()
    {
        ForgetCasts();
        foreach (var (leaf, before) in _gradientsBefore)
        {
            if (before is null)
            {
                leaf.ClearGrad();
            }
            else
            {
                leaf.IsGradScaled = _scaledBefore.Contains(leaf);
            }
        }
    }

    /// <summary>Does what was noted for now, and casts those 16-bit copies anew that the work reads and that are stale.</summary>
    public void BeforeLaunch()
    {
        foreach (var (prepare, count) in _launchPreparations.Values)
        {
            prepare(count);
        }

        foreach (var (parameter, dtype) in _copies)
        {
            if (!parameter.IsDisposed)
            {
                parameter.LowPrecisionCopy(dtype);
            }
        }
    }

    /// <summary>Repeats on the host what the captured code did there.</summary>
    public void AfterLaunch()
    {
        foreach (var effect in _launchEffects)
        {
            effect();
        }

        foreach (var gradient in _gradients)
        {
            gradient.Show();
        }

        foreach (var leaf in _gradientsBefore.Keys)
        {
            if (!leaf.IsDisposed)
            {
                leaf.Grad?.CountChange();
            }
        }
    }

    /// <inheritdoc cref="Graph.FindChange"/>
    public string? FindChange(IReadOnlySet<Tensor> cleared)
    {
        foreach (var (tensor, (requiredGrad, form)) in _read)
        {
            if (tensor.IsDisposed)
            {
                return $"the tensor {tensor.Description} was freed";
            }

            if (tensor.RequiresGrad != requiredGrad)
            {
                return $"RequiresGrad of the tensor {tensor.Description} was changed";
            }

            if (!form.Equals(FormOf(tensor)))
            {
                return $"the parameter {tensor.Description} was cast";
            }
        }

        foreach (var (leaf, before) in _gradientsBefore)
        {
            if (leaf.Grad != before && !cleared.Contains(leaf))
            {
                return $"the gradient of the tensor {leaf.Description}, which the optimizer does not clear, was set or cleared";
            }
        }

        return _modes.All(mode => mode.Key.IsTraining == mode.Value) ? null : "Train() or Eval() was called on a module";
    }

    /// <summary>Frees the graph's gradients. Leaves that show them keep theirs.</summary>
    public void Dispose()
    {
        foreach (var gradient in _gradients)
        {
            gradient.Dispose();
        }

        _gradients.Clear();
    }

    /// <summary>What Amp.Initialize changes.</summary>
    private static object FormOf(Tensor tensor) => (tensor.DType, (tensor as Parameter)?.ComputeDType);

    private void ForgetCasts()
    {
        foreach (var forget in _castsToForget)
        {
            forget();
        }
    }

    private void Mix(ulong value)
    {
        const ulong Multiplier = 0x9E3779B97F4A7C15; // 2^64 / golden ratio
        Signature = (Signature ^ value) * Multiplier;
        Signature ^= Signature >> 32;
    }

    /// <summary>A gradient in the graph's memory, and the leaf that shows it after a launch.</summary>
    private sealed class LaunchedGradient : IDisposable
    {
        private readonly Tensor _leaf;
        private readonly Tensor _gradient;
        private readonly bool _isScaled;
        private Tensor? _shown;

        /// <param name="leaf">The leaf.</param>
        /// <param name="gradient">Its gradient, taken over.</param>
        /// <param name="isScaled">Whether each launch leaves it multiplied by a loss scale.</param>
        public LaunchedGradient(Tensor leaf, Tensor gradient, bool isScaled)
        {
            (_leaf, _gradient, _isScaled) = (leaf, gradient, isScaled);
            Show();
        }

        public void Show()
        {
            if (!_leaf.IsDisposed && (_shown is not { IsDisposed: false } || _leaf.Grad != _shown))
            {
                _shown = _gradient.ViewOwned(_gradient.Shape);
                _leaf.PutGrad(_shown);
            }

            _leaf.IsGradScaled = _isScaled;
        }

        public void Dispose() => _gradient.Dispose();
    }
}
