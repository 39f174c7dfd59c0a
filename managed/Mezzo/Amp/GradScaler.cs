// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// Loss scaling for 16-bit training, with the rules of <c>torch.amp.GradScaler</c>: the loss is multiplied
/// by a scale so that small gradients do not vanish, a step whose gradients hold Inf or NaN is skipped and
/// the scale halved, and after enough clean steps the scale is doubled. The scale and its counter live on
/// the device.
/// </summary>
/// <example><code>
/// scaler.Scale(loss).Backward();
/// scaler.Step(optimizer);
/// scaler.Update();
/// </code></example>
public sealed class GradScaler
{
    private readonly ConditionalWeakTable<Optimizer, OptimizerState> _known = [];
    private readonly Dictionary<Optimizer, OptimizerState> _active = []; // unscaled or stepped since the last update
    private readonly Device _device;
    private readonly bool _isStatic;
    private Tensor? _scale;
    private Tensor? _growthTracker;
    private double _initialScale;
    private int _initialGrowthTracker;
    private double _growthFactor;
    private double _backoffFactor;
    private int _growthInterval;

    /// <summary>Creates a scaler.</summary>
    /// <param name="initScale">First loss scale, positive.</param>
    /// <param name="growthFactor">Factor of growth, greater than 1.</param>
    /// <param name="backoffFactor">Factor after a step with Inf or NaN, in (0, 1).</param>
    /// <param name="growthInterval">Clean steps in a row before the scale grows, at least 1.</param>
    /// <param name="enabled">False makes every call a pass-through.</param>
    /// <param name="device">Device of the losses and optimizers; null for <see cref="Device.Default"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public GradScaler(
        double initScale = 65536, double growthFactor = 2, double backoffFactor = 0.5, int growthInterval = 2000, bool enabled = true, Device? device = null)
        : this(initScale, enabled, device, isStatic: false)
    {
        GrowthFactor = growthFactor;
        BackoffFactor = backoffFactor;
        GrowthInterval = growthInterval;
    }

    private GradScaler(double initScale, bool enabled, Device? device, bool isStatic)
    {
        RequirePositive(initScale, nameof(initScale));
        (_initialScale, IsEnabled, _device, _isStatic) = (initScale, enabled, device ?? Device.Default, isStatic);
        (_growthFactor, _backoffFactor, _growthInterval) = (2, 0.5, 2000);
    }

    private enum Stage
    {
        Ready,
        Unscaled,
        Stepped,
    }

    /// <summary>Whether the scaler does anything.</summary>
    public bool IsEnabled { get; }

    /// <summary>Factor of growth.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to 1 or less, or to a number that is not finite.</exception>
    public double GrowthFactor
    {
        get => _growthFactor;
        set => _growthFactor = double.IsFinite(value) && value > 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The growth factor must be > 1.0.");
    }

    /// <summary>Factor after a step with Inf or NaN.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set outside (0, 1).</exception>
    public double BackoffFactor
    {
        get => _backoffFactor;
        set => _backoffFactor = value is > 0 and < 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The backoff factor must be > 0.0 and < 1.0.");
    }

    /// <summary>Clean steps in a row before the scale grows.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set below 1.</exception>
    public int GrowthInterval
    {
        get => _growthInterval;
        set => _growthInterval = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The growth interval must be at least 1.");
    }

    /// <summary>The settings that a captured update holds as they were.</summary>
    internal (double Growth, double Backoff, int Interval) Settings => (_growthFactor, _backoffFactor, _growthInterval);

    /// <summary>Whether no optimizer has been unscaled or stepped since the last update.</summary>
    internal bool IsReady => _active.Count == 0;

    /// <summary>
    /// A scaler whose scale never changes. It skips steps with Inf or NaN like any other, so with a scale
    /// of 1 it is the guard of training that needs no scaling.
    /// </summary>
    public static GradScaler Static(double scale, Device? device = null) => new(scale, enabled: true, device, isStatic: true);

    /// <summary>Multiplies a loss by the scale; differentiate the result.</summary>
    /// <exception cref="InvalidOperationException">The first call is within a capture.</exception>
    public Tensor Scale(Tensor loss)
    {
        ArgumentNullException.ThrowIfNull(loss);
        if (!IsEnabled)
        {
            return loss;
        }

        if (_scale is null)
        {
            if (CaptureTrace.Recording is not null)
            {
                throw new InvalidOperationException(
                    "A GradScaler was used for the first time within a capture: each launch would begin with its initial scale again. Call Scale once before.");
            }

            _scale = Tensor.AllocateOwned([], DType.Float32, _device);
            _growthTracker = Tensor.AllocateOwned([], DType.Int32, _device);
            _scale.Fill(_initialScale);
            _growthTracker.Fill(_initialGrowthTracker);
        }

        foreach (var (optimizer, state) in _known)
        {
            if (state.Stage == Stage.Ready)
            {
                state.Check.Open(optimizer.Parameters);
            }
        }

        return loss.Scale(1, _scale);
    }

    /// <summary>Multiplies several losses by the scale.</summary>
    public IReadOnlyList<Tensor> Scale(IEnumerable<Tensor> losses) => [.. losses.Select(Scale)];

    /// <summary>Divides an optimizer's gradients by the scale, so that they can be clipped or looked at before <see cref="Step"/>.</summary>
    /// <exception cref="InvalidOperationException">Called twice between updates, after <see cref="Step"/>, or before <see cref="Scale(Tensor)"/>.</exception>
    public void Unscale(Optimizer optimizer)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        if (!IsEnabled)
        {
            return;
        }

        var scale = RequireScale();
        var state = StateOf(optimizer);
        if (state.Stage == Stage.Unscaled)
        {
            throw new InvalidOperationException("unscale_() has already been called on this optimizer since the last update().");
        }

        if (state.Stage == Stage.Stepped)
        {
            throw new InvalidOperationException("unscale_() is being called after step().");
        }

        state.Check.Unscale(optimizer.Parameters, scale);
        (state.Stage, state.HasGradients) = (Stage.Unscaled, HasGradients(optimizer));
    }

    /// <summary>
    /// Steps the optimizer with the gradients divided by the scale, unless Inf or NaN is found in them. The
    /// division happens inside the optimizer's pass: <see cref="Tensor.Grad"/> stays scaled, unlike in PyTorch,
    /// unless <see cref="Unscale"/> was called before.
    /// </summary>
    /// <returns>What happened. An optimizer without gradients is left alone, which is not an error.</returns>
    /// <exception cref="InvalidOperationException">Called twice between updates, or before <see cref="Scale(Tensor)"/>.</exception>
    public ScalerStepResult Step(Optimizer optimizer)
    {
        var step = IssueStep(optimizer);
        return step.Result(step.Scale?.Item() ?? 1, step.FoundInf?.Item() ?? 0);
    }

    /// <summary>The part of <see cref="Step"/> that runs on the device; nothing is read back.</summary>
    internal IssuedScalerStep IssueStep(Optimizer optimizer)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        bool hasGradients = HasGradients(optimizer);
        if (!IsEnabled)
        {
            optimizer.Step();
            return new IssuedScalerStep(hasGradients, null, null);
        }

        var scale = RequireScale(nameof(Step));
        var state = StateOf(optimizer);
        if (state.Stage == Stage.Stepped)
        {
            throw new InvalidOperationException("step() has already been called since the last update().");
        }

        bool stillScaled = state.Stage == Stage.Ready;
        if (stillScaled)
        {
            state.Check.Complete(optimizer.Parameters);
            state.HasGradients = hasGradients;
        }

        var foundInf = state.Check.FoundInf;
        optimizer.Step(stillScaled ? scale.Handle : default, foundInf.Handle);
        state.Stage = Stage.Stepped;
        return new IssuedScalerStep(hasGradients, scale, foundInf);
    }

    /// <summary>Updates the scale after the optimizers have stepped, and makes ready for the next iteration.</summary>
    /// <param name="newScale">Sets the scale to this instead, leaving the growth counter as it is.</param>
    /// <exception cref="InvalidOperationException">No optimizer was unscaled or stepped since the last update.</exception>
    public void Update(double? newScale = null)
    {
        if (!IsEnabled)
        {
            return;
        }

        var scale = RequireScale();
        MezzoTensor[] foundInfs = [.. from state in _active.Values where state.HasGradients select state.Check.FoundInf.Handle];
        if (newScale is { } given)
        {
            scale.Fill(RequirePositive(given, nameof(newScale)));
        }
        else if (IsReady)
        {
            throw new InvalidOperationException("No inf checks were recorded prior to update.");
        }
        else if (!_isStatic && foundInfs.Length > 0)
        {
            Calls.ScaleUpdate(
                scale.Handle,
                _growthTracker!.Handle,
                foundInfs,
                new MezzoScaleUpdateDesc { GrowthInterval = GrowthInterval, GrowthFactor = GrowthFactor, BackoffFactor = BackoffFactor });
            scale.MarkChanged();
        }

        Forget();
    }

    /// <summary>Makes ready for the next iteration, whatever happened to the one in progress.</summary>
    internal void Forget()
    {
        foreach (var (_, state) in _known)
        {
            state.Check.Close();
            (state.Stage, state.HasGradients) = (Stage.Ready, false);
        }

        _active.Clear();
    }

    /// <summary>The current scale, 1 when disabled. Waits for the work that computes it.</summary>
    public double GetScale() => !IsEnabled ? 1 : _scale?.Item() ?? _initialScale;

    /// <summary>Clean steps since the scale last changed.</summary>
    public int GetGrowthTracker() => _growthTracker?.ToArray<int>()[0] ?? _initialGrowthTracker;

    /// <summary>The state to save between two iterations.</summary>
    public GradScalerState StateDict() => !IsEnabled
        ? GradScalerState.Empty
        : new GradScalerState
        {
            Scale = GetScale(),
            GrowthFactor = GrowthFactor,
            BackoffFactor = BackoffFactor,
            GrowthInterval = GrowthInterval,
            GrowthTracker = GetGrowthTracker(),
        };

    /// <summary>Takes over a saved state. A disabled scaler ignores it.</summary>
    /// <exception cref="InvalidOperationException">The state is empty, as that of a disabled scaler is.</exception>
    /// <exception cref="ArgumentException">A key is missing or a value out of its range; nothing is changed then.</exception>
    public void LoadStateDict(GradScalerState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (!IsEnabled)
        {
            return;
        }

        if (state == GradScalerState.Empty)
        {
            throw new InvalidOperationException(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler.");
        }

        // A scaler of its own checks the values, so that a bad one changes nothing here. A scale of 0 is what
        // a run of overflows ends in, and may be saved.
        double scale = Required(state.Scale, "scale");
        var loaded = new GradScaler(
            scale == 0 ? 1 : scale,
            Required(state.GrowthFactor, "growth_factor"),
            Required(state.BackoffFactor, "backoff_factor"),
            Required(state.GrowthInterval, "growth_interval"));
        int tracker = Required(state.GrowthTracker, "_growth_tracker");
        if (tracker < 0)
        {
            throw new ArgumentException($"_growth_tracker is {tracker}, expected at least 0.", nameof(state));
        }

        (_growthFactor, _backoffFactor, _growthInterval) = (loaded._growthFactor, loaded._backoffFactor, loaded._growthInterval);
        (_initialScale, _initialGrowthTracker) = (scale, tracker);
        _scale?.Fill(_initialScale);
        _growthTracker?.Fill(_initialGrowthTracker);
    }

    private static bool HasGradients(Optimizer optimizer) => optimizer.Parameters.Any(parameter => parameter.Grad is not null);

    private static T Required<T>(T? value, string key)
        where T : struct => value ?? throw new ArgumentException($"The state of the GradScaler lacks the key '{key}'.");

    private static double RequirePositive(double scale, string name) =>
        float.IsFinite((float)scale) && (float)scale > 0
            ? scale
            : throw new ArgumentOutOfRangeException(name, scale, "The loss scale must be finite and > 0.0 in f32.");

    private Tensor RequireScale([CallerMemberName] string caller = "") => _scale ?? throw new InvalidOperationException(
        $"Attempted {caller} but _scale is None. This may indicate your script did not use scaler.Scale(loss or outputs) earlier in the iteration.");

    private OptimizerState StateOf(Optimizer optimizer)
    {
        if (!_known.TryGetValue(optimizer, out var state))
        {
            if (optimizer.Device != _device)
            {
                throw new ArgumentException($"The optimizer's parameters are on {optimizer.Device}, expected the scaler's device {_device}.", nameof(optimizer));
            }

            state = new OptimizerState(_device);
            _known.Add(optimizer, state);
        }

        _active[optimizer] = state;
        return state;
    }

    private sealed class OptimizerState(Device device)
    {
        public GradientCheck Check { get; } = new(device);

        public Stage Stage { get; set; }

        public bool HasGradients { get; set; }
    }
}

/// <summary>A step that has been issued to the device.</summary>
/// <param name="HasGradients">Whether there was anything to apply.</param>
/// <param name="Scale">The scale, null where there is no scaling.</param>
/// <param name="FoundInf">Not 0 once Inf or NaN was found; null where nobody looks.</param>
internal readonly record struct IssuedScalerStep(bool HasGradients, Tensor? Scale, Tensor? FoundInf)
{
    /// <summary>What happened, from the two numbers read back.</summary>
    public ScalerStepResult Result(double scale, double foundInf)
    {
        var reason = !HasGradients ? SkipReason.NoGradients
            : foundInf != 0 ? SkipReason.NonFiniteGradients
            : SkipReason.None;
        return new ScalerStepResult(reason == SkipReason.None ? StepOutcome.Applied : StepOutcome.Skipped, reason, scale);
    }
}
