// SPDX-License-Identifier: MIT
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// Loss scaling for 16-bit training, with the calls of <c>torch.amp.GradScaler</c>: the loss is multiplied by a scale so
/// that small gradients do not vanish, a step whose gradients hold Inf or NaN is skipped and the scale lowered, and after
/// enough clean steps the scale is raised, as a <see cref="ScalerPolicy"/> says. The scale and its counters live on the
/// device.
/// </summary>
/// <example><code>
/// scaler.Scale(loss).Backward();
/// scaler.Step(optimizer);
/// scaler.Update();
/// </code></example>
public sealed partial class GradScaler
{
    private readonly ConditionalWeakTable<Optimizer, OptimizerState> _known = [];
    private readonly Dictionary<Optimizer, OptimizerState> _active = []; // unscaled or stepped since the last update
    private readonly Device _device;
    private readonly ScalerPolicy _given; // before any change
    private ScaleState _initial;
    private long _iteration;
    private DeviceState? _state;

    /// <summary>Creates a scaler with PyTorch's rules.</summary>
    /// <param name="initScale">First loss scale, positive.</param>
    /// <param name="growthFactor">Factor of growth, greater than 1.</param>
    /// <param name="backoffFactor">Factor after a step with Inf or NaN, in (0, 1).</param>
    /// <param name="growthInterval">Clean steps in a row before the scale grows, at least 1.</param>
    /// <param name="enabled">False makes every call a pass-through.</param>
    /// <param name="device">Device of the losses and optimizers; null for <see cref="Device.Default"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public GradScaler(
        double initScale = 65536, double growthFactor = 2, double backoffFactor = 0.5, int growthInterval = 2000, bool enabled = true, Device? device = null)
        : this(
            (enabled ? ScalerPolicy.Torch : ScalerPolicy.Disabled) with
            {
                InitScale = initScale,
                GrowthFactor = growthFactor,
                BackoffFactor = backoffFactor,
                GrowthInterval = growthInterval,
            },
            device)
    {
    }

    /// <summary>Creates a scaler.</summary>
    /// <param name="policy">The rules.</param>
    /// <param name="device">Device of the losses and optimizers; null for <see cref="Device.Default"/>.</param>
    public GradScaler(ScalerPolicy policy, Device? device = null)
    {
        ArgumentNullException.ThrowIfNull(policy);
        if (policy.MaxScale < policy.MinScale)
        {
            throw new ArgumentException($"The policy's MaxScale is {policy.MaxScale}, expected at least its MinScale, {policy.MinScale}.", nameof(policy));
        }

        (Policy, _given, _device) = (policy, policy, device ?? Device.Default);
        _initial = new ScaleState(policy.InitScale, GrowthTracker: 0, policy.Hysteresis);
    }

    private enum Stage
    {
        Ready,
        Unscaled,
        Stepped,
    }

    /// <summary>The rules. A change holds from the next update on; the scale stays what it is.</summary>
    public ScalerPolicy Policy { get; private set; }

    /// <summary>Whether the scaler does anything.</summary>
    public bool IsEnabled => Policy.IsEnabled;

    /// <summary>Factor of growth.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to 1 or less, or to a number that is not finite.</exception>
    public double GrowthFactor
    {
        get => Policy.GrowthFactor;
        set => Policy = Policy with { GrowthFactor = value };
    }

    /// <summary>Factor after a step with Inf or NaN.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set outside (0, 1).</exception>
    public double BackoffFactor
    {
        get => Policy.BackoffFactor;
        set => Policy = Policy with { BackoffFactor = value };
    }

    /// <summary>Clean steps in a row before the scale grows.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set below 1.</exception>
    public int GrowthInterval
    {
        get => Policy.GrowthInterval;
        set => Policy = Policy with { GrowthInterval = value };
    }

    /// <summary>Whether no optimizer has been unscaled or stepped since the last update.</summary>
    internal bool IsReady => _active.Count == 0;

    /// <summary>i32 scalar, why the latest update by the policy's rules found its step not clean; null where there is none.</summary>
    internal Tensor? Cause => Policy.IsDynamic ? _state?.Cause : null;

    private bool HasHysteresis => Policy.Hysteresis > 1;

    private bool TellsNaNFromOverflow => Policy is { IsDynamic: true, KeepsScaleOnNaN: true };

    private string? PolicyKey => Policy.CountsAsTorch ? null : Policy.Name;

    private ScaleState Current => _state?.Read() ?? _initial;

    /// <summary>Multiplies a loss by the scale; differentiate the result.</summary>
    /// <exception cref="InvalidOperationException">The first call is within a capture.</exception>
    public Tensor Scale(Tensor loss)
    {
        ArgumentNullException.ThrowIfNull(loss);
        if (!IsEnabled)
        {
            return loss;
        }

        if (_state is null)
        {
            if (CaptureTrace.Recording is not null)
            {
                throw new InvalidOperationException(
                    "A GradScaler was used for the first time within a capture: each launch would begin with its initial scale again. Call Scale once before.");
            }

            MakeState();
        }

        foreach (var (optimizer, state) in _known)
        {
            if (state.Stage == Stage.Ready)
            {
                state.Check.Open(optimizer.Parameters);
            }
        }

        if (TellsNaNFromOverflow)
        {
            Calls.Unscale(_state.LossNonFinite.Handle, [loss.Handle], default, new MezzoUnscaleDesc { CheckOnly = 1 });
        }

        return loss.ScaleLoss(_state.Scale);
    }

    /// <summary>Multiplies several losses by the scale.</summary>
    public IReadOnlyList<Tensor> Scale(IEnumerable<Tensor> losses) => [.. losses.Select(Scale)];

    /// <summary>
    /// Scales a loss and differentiates it. What it returns says what may be done with the gradients, in the order in which
    /// it may be done: a program that clips scaled gradients, unscales twice or steps on scaled gradients does not compile.
    /// </summary>
    /// <param name="loss">A scalar. Gradients of several losses, or of the micro-batches of one, add up: the last call's result is for all.</param>
    /// <param name="optimizer">Whose parameters' gradients they are.</param>
    /// <example><code>
    /// ScaledGradients gradients = scaler.Backward(loss, optimizer);
    /// ScalerStepResult result = gradients.Unscale().Clip(GradientClipping.ByNorm(1)).Step();
    /// </code></example>
    public ScaledGradients Backward(Tensor loss, Optimizer optimizer)
    {
        ArgumentNullException.ThrowIfNull(loss);
        ArgumentNullException.ThrowIfNull(optimizer);
        Scale(loss).Backward();
        return new ScaledGradients(this, optimizer, _iteration);
    }

    /// <summary>Divides an optimizer's gradients by the scale, so that they can be clipped or looked at before <see cref="Step(Optimizer)"/>.</summary>
    /// <exception cref="InvalidOperationException">Called twice between updates, after <see cref="Step(Optimizer)"/>, or before <see cref="Scale(Tensor)"/>.</exception>
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

        if (optimizer.Parameters.FirstOrDefault(parameter => parameter.Grad?.DType == DType.Float16) is { } half)
        {
            throw new InvalidOperationException(
                $"Attempting to unscale FP16 gradients, as that of {half.Name}: what the scale has kept from vanishing would. Step unscales in f32, and clips as the optimizer's options say.");
        }

        state.Check.Unscale(optimizer.Parameters, scale);
        foreach (var parameter in optimizer.Parameters)
        {
            parameter.IsGradScaled = false;
        }

        (state.Stage, state.HasGradients) = (Stage.Unscaled, HasGradients(optimizer));
    }

    /// <summary>
    /// Steps the optimizer with the gradients divided by the scale, unless Inf or NaN is found in them. The
    /// division happens inside the optimizer's pass: <see cref="Tensor.Grad"/> stays scaled, unlike in PyTorch,
    /// unless <see cref="Unscale"/> was called before.
    /// </summary>
    /// <returns>
    /// What happened. An optimizer without gradients is left alone, which is not an error. Whether a lower scale may cure what
    /// was found, <see cref="Update"/> alone finds out.
    /// </returns>
    /// <exception cref="InvalidOperationException">Called twice between updates, or before <see cref="Scale(Tensor)"/>.</exception>
    public ScalerStepResult Step(Optimizer optimizer)
    {
        var step = IssueStep(optimizer);
        var summary = step.Summary is null ? default : GradientFigures.Read(step.Norm?.Item(), step.Summary.ToArray<long>());
        return step.Result(step.Scale?.Item() ?? 1, step.FoundInf?.Item() ?? 0, MezzoScaleCause.None, summary);
    }

    /// <summary>
    /// Computes a loss, differentiates it anew at the scale, steps and updates the scale. Where Inf or NaN was found that a lower
    /// scale may cure, all of it is done again at that scale, as apex's <c>FP16_Optimizer.step(closure)</c> does.
    /// </summary>
    /// <param name="optimizer">The only one of the iteration.</param>
    /// <param name="closure">Returns the loss, a scalar; unlike PyTorch's, it neither clears gradients nor differentiates.</param>
    /// <param name="retries">
    /// How often it may be done again, at least 0. Unlike <see cref="TrainerOptions.RetriesOnOverflow"/> this runs the closure again too:
    /// running statistics move and dropout draws once more.
    /// </param>
    /// <returns>The last loss, and what happened in the end.</returns>
    public (Tensor Loss, ScalerStepResult Result) Step(Optimizer optimizer, Func<Tensor> closure, int retries = 0)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentNullException.ThrowIfNull(closure);
        ArgumentOutOfRangeException.ThrowIfNegative(retries);
        while (true)
        {
            optimizer.ZeroGrad();
            var loss = closure();
            Scale(loss).Backward();
            var result = StepAndUpdate(optimizer);
            if (!LowerScaleMayHelp(result) || retries-- == 0)
            {
                return (loss, result);
            }
        }
    }

    /// <summary>Whether a skipped step may be applied at a lower scale.</summary>
    internal bool LowerScaleMayHelp(ScalerStepResult step) => Policy.IsDynamic && step.Reason == SkipReason.NonFiniteGradients && step.Scale > Policy.MinScale;

    /// <summary>Whether an optimizer's gradients have been unscaled, and no step was made since.</summary>
    internal bool IsUnscaled(Optimizer optimizer) => _active.TryGetValue(optimizer, out var state) && state.Stage == Stage.Unscaled;

    /// <summary>Refuses gradients of an iteration that is over.</summary>
    internal void ExpectIteration(long iteration)
    {
        if (iteration != _iteration)
        {
            throw new InvalidOperationException(
                "These gradients belong to an iteration that is over: they, or those of another optimizer, were applied and the scale was updated. "
                    + "Several optimizers are stepped by the scaler's Step, and then by one Update.");
        }
    }

    /// <summary>A step and the update that belongs to it.</summary>
    internal ScalerStepResult StepAndUpdate(Optimizer optimizer)
    {
        var result = Step(optimizer);
        Update();
        _iteration += IsEnabled ? 0 : 1; // which is the update's to count
        bool isNaN = result.Reason == SkipReason.NonFiniteGradients && Policy.IsDynamic && _state!.ReadCause() == MezzoScaleCause.NotANumber;
        return isNaN ? result with { Reason = SkipReason.NotANumber } : result;
    }

    /// <summary>The part of <see cref="Step(Optimizer)"/> that runs on the device; nothing is read back.</summary>
    internal IssuedScalerStep IssueStep(Optimizer optimizer)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        bool hasGradients = HasGradients(optimizer);
        if (!IsEnabled)
        {
            optimizer.Step();
            return new IssuedScalerStep(hasGradients, null, null, null, null, [], false);
        }

        var scale = RequireScale(nameof(Step));
        var state = StateOf(optimizer);
        if (state.Stage == Stage.Stepped)
        {
            throw new InvalidOperationException("step() has already been called since the last update().");
        }

        if (state.Stage == Stage.Unscaled && optimizer.Parameters.FirstOrDefault(parameter => parameter.IsGradScaled) is { } mixed)
        {
            throw new InvalidOperationException($"A scaled loss was differentiated after unscale_(): the gradient of {mixed.Name} is a sum of scaled and unscaled ones.");
        }

        bool stillScaled = state.Stage == Stage.Ready;
        var gradScale = stillScaled ? scale.Handle : default;
        var foundInf = state.Check.FoundInf;
        if (stillScaled)
        {
            state.Check.Complete(optimizer.Parameters, optimizer.IsMeasured);
            state.HasGradients = hasGradients;
        }

        optimizer.Measure(gradScale, foundInf, state.Summary);
        optimizer.Step(gradScale, foundInf.Handle);
        state.Stage = Stage.Stepped;
        return new IssuedScalerStep(hasGradients, scale, foundInf, optimizer.GradNorm, state.Summary, optimizer.WithGradient(), Policy.ThrowsAtMinScale);
    }

    /// <summary>Updates the scale after the optimizers have stepped, and makes ready for the next iteration.</summary>
    /// <param name="newScale">Sets the scale to this instead, leaving the growth counter as it is.</param>
    /// <exception cref="InvalidOperationException">No optimizer was unscaled or stepped since the last update.</exception>
    /// <exception cref="MinimumLossScaleException">
    /// The scale should have been lowered and is <see cref="ScalerPolicy.MinScale"/> already, with a policy for which that is an error.
    /// </exception>
    public void Update(double? newScale = null)
    {
        bool followsRules = IssueUpdate(newScale);
        if (followsRules && Policy.ThrowsAtMinScale && CaptureTrace.Recording is null && _state!.ReadCause() == MezzoScaleCause.AtMinimum)
        {
            throw new MinimumLossScaleException();
        }
    }

    /// <summary>The part of <see cref="Update"/> that runs on the device; nothing is read back.</summary>
    /// <returns>Whether the scale was updated by the policy's rules.</returns>
    internal bool IssueUpdate(double? newScale = null)
    {
        if (!IsEnabled)
        {
            return false;
        }

        var scale = RequireScale(nameof(Update));
        OptimizerState[] stepped = [.. _active.Values.Where(state => state.HasGradients)];
        if (newScale is { } given)
        {
            scale.Fill(ScalerPolicy.RequirePositive(given, nameof(newScale)));
        }
        else if (IsReady)
        {
            throw new InvalidOperationException("No inf checks were recorded prior to update.");
        }

        bool followsRules = newScale is null && Policy.IsDynamic && stepped.Length > 0;
        if (followsRules)
        {
            _state!.Update(stepped, Policy);
        }
        else
        {
            _state!.LossNonFinite.Fill(0);
        }

        BeginIteration();
        return followsRules;
    }

    /// <summary>Makes ready for the next iteration after one that was broken off.</summary>
    internal void Forget()
    {
        if (CaptureTrace.Recording is null)
        {
            _state?.LossNonFinite.Fill(0);
        }

        BeginIteration();
    }

    private void BeginIteration()
    {
        _iteration++;
        foreach (var (_, state) in _known)
        {
            state.Check.Close();
            (state.Stage, state.HasGradients) = (Stage.Ready, false);
        }

        _active.Clear();
    }

    /// <summary>The current scale, 1 when disabled. Waits for the work that computes it.</summary>
    public double GetScale() => !IsEnabled ? 1 : _state?.Scale.Item() ?? _initial.Scale;

    /// <summary>Clean steps since the last overflow or, where counting restarts with growth as PyTorch's does, since the last growth.</summary>
    public int GetGrowthTracker() => _state?.GrowthTracker ?? _initial.GrowthTracker;

    /// <summary>The state to save between two iterations.</summary>
    public GradScalerState StateDict()
    {
        if (!IsEnabled)
        {
            return GradScalerState.Empty;
        }

        var current = Current;
        return new GradScalerState
        {
            Scale = current.Scale,
            GrowthFactor = GrowthFactor,
            BackoffFactor = BackoffFactor,
            GrowthInterval = GrowthInterval,
            GrowthTracker = current.GrowthTracker,
            HysteresisTracker = HasHysteresis ? current.HysteresisTracker : null,
            Policy = PolicyKey,
        };
    }

    /// <summary>Takes over a saved state. A disabled scaler ignores it.</summary>
    /// <exception cref="InvalidOperationException">The state is empty, as that of a disabled scaler is.</exception>
    /// <exception cref="ArgumentException">
    /// A key is missing, a value out of its range, or the state that of a policy that counts differently; nothing is changed then.
    /// </exception>
    public void LoadStateDict(GradScalerState state) => Check(state)();

    /// <summary>Checks a saved state.</summary>
    /// <returns>Takes it over.</returns>
    private Action Check(GradScalerState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (!IsEnabled)
        {
            return () => { };
        }

        if (state == GradScalerState.Empty)
        {
            throw new InvalidOperationException(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler.");
        }

        if (state.Policy != PolicyKey)
        {
            throw new ArgumentException(
                $"The state's '_policy' is {state.Policy ?? "none, as PyTorch's"}, expected {PolicyKey ?? "none"} for a scaler with the policy '{Policy.Name}': they count differently.",
                nameof(state));
        }

        // A scale of 0 is what a run of overflows ends in, and may be saved.
        double scale = Required(state.Scale, "scale");
        var policy = Policy with
        {
            GrowthFactor = Required(state.GrowthFactor, "growth_factor"),
            BackoffFactor = Required(state.BackoffFactor, "backoff_factor"),
            GrowthInterval = Required(state.GrowthInterval, "growth_interval"),
        };
        if (scale != 0)
        {
            ScalerPolicy.RequirePositive(scale, "scale");
        }

        int tracker = Required(state.GrowthTracker, "_growth_tracker");
        if (tracker < 0)
        {
            throw new ArgumentException($"_growth_tracker is {tracker}, expected at least 0.", nameof(state));
        }

        if (state.HysteresisTracker is not null && !HasHysteresis)
        {
            throw new ArgumentException($"The state has the key '_hysteresis_tracker', but the policy '{Policy.Name}' has no hysteresis.", nameof(state));
        }

        int hysteresis = HasHysteresis ? Required(state.HysteresisTracker, "_hysteresis_tracker") : 1;
        return () =>
        {
            (Policy, _initial) = (policy, new ScaleState(scale, tracker, hysteresis));
            _state?.Write(_initial);
        };
    }

    private static bool HasGradients(Optimizer optimizer) => optimizer.Parameters.Any(parameter => parameter.Grad is not null);

    private static T Required<T>(T? value, string key)
        where T : struct => value ?? throw new ArgumentException($"The state of the GradScaler lacks the key '{key}'.");

    private Tensor RequireScale([CallerMemberName] string caller = "") => _state?.Scale ?? throw new InvalidOperationException(
        $"Attempted {caller} but _scale is None. This may indicate your script did not use scaler.Scale(loss or outputs) earlier in the iteration.");

    /// <summary>Makes what steps of an optimizer need, which else the first of them does.</summary>
    internal void Prepare(Optimizer optimizer)
    {
        if (IsEnabled && _state is null)
        {
            MakeState();
        }

        Know(optimizer);
    }

    [MemberNotNull(nameof(_state))]
    private void MakeState()
    {
        _state = new DeviceState(_device);
        _state.Write(_initial);
    }

    private OptimizerState StateOf(Optimizer optimizer) => _active[optimizer] = Know(optimizer);

    private OptimizerState Know(Optimizer optimizer)
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

        return state;
    }

    /// <summary>What an update changes, as numbers.</summary>
    private readonly record struct ScaleState(double Scale, int GrowthTracker, int HysteresisTracker);

    /// <summary>The same on the device.</summary>
    private sealed class DeviceState(Device device)
    {
        private readonly Tensor _growthTracker = Tensor.AllocateOwned([], DType.Int32, device);
        private readonly Tensor _hysteresisTracker = Tensor.AllocateOwned([], DType.Int32, device);

        public Tensor Scale { get; } = Tensor.AllocateOwned([], DType.Float32, device);

        public int GrowthTracker => _growthTracker.ToArray<int>()[0];

        public Tensor Cause { get; } = Tensor.AllocateOwned([], DType.Int32, device);

        public Tensor LossNonFinite { get; } = Tensor.AllocateOwned([], DType.Float32, device);

        public void Write(ScaleState state)
        {
            Scale.Fill(state.Scale);
            _growthTracker.Fill(state.GrowthTracker);
            _hysteresisTracker.Fill(state.HysteresisTracker);
            Cause.Fill(0);
            LossNonFinite.Fill(0);
        }

        public ScaleState Read() => new(Scale.Item(), GrowthTracker, _hysteresisTracker.ToArray<int>()[0]);

        public MezzoScaleCause ReadCause() => (MezzoScaleCause)Cause.ToArray<int>()[0];

        public void Update(OptimizerState[] stepped, ScalerPolicy policy)
        {
            bool tells = policy.KeepsScaleOnNaN;
            Calls.ScaleUpdate(
                Scale.Handle,
                _growthTracker.Handle,
                _hysteresisTracker.Handle,
                Cause.Handle,
                tells ? LossNonFinite.Handle : default,
                Array.ConvertAll(stepped, state => state.Check.FoundInf.Handle),
                tells ? Array.ConvertAll(stepped, state => state.Stage == Stage.Stepped ? state.Summary.Handle : default) : [],
                policy.ToDescriptor());
            Scale.MarkChanged();
        }
    }

    private sealed class OptimizerState(Device device)
    {
        public GradientCheck Check { get; } = new(device);

        /// <summary>i64 [5], what the native library's grad_summary says of the latest step's gradients.</summary>
        public Tensor Summary { get; } = Tensor.AllocateOwned([GradientFigures.Length], DType.Int64, device);

        public Stage Stage { get; set; }

        public bool HasGradients { get; set; }
    }
}

/// <summary>A step that has been issued to the device.</summary>
/// <param name="HasGradients">Whether there was anything to apply.</param>
/// <param name="Scale">The scale, null where there is no scaling.</param>
/// <param name="FoundInf">Not 0 once Inf or NaN was found; null where nobody looks.</param>
/// <param name="Norm">f64 scalar, the norm of all gradients; null where nobody measures it.</param>
/// <param name="Summary">i64 [5], what the gradients held; null where nobody looks.</param>
/// <param name="Parameters">The parameters with gradients, in the order that the summary counts them in.</param>
/// <param name="ThrowsAtMinScale">Whether an overflow at the smallest scale is an error.</param>
internal readonly record struct IssuedScalerStep(
    bool HasGradients, Tensor? Scale, Tensor? FoundInf, Tensor? Norm, Tensor? Summary, IReadOnlyList<Parameter> Parameters, bool ThrowsAtMinScale)
{
    /// <summary>What happened, from the numbers read back.</summary>
    public ScalerStepResult Result(double scale, double foundInf, MezzoScaleCause cause, GradientFigures figures)
    {
        var reason = !HasGradients ? SkipReason.NoGradients
            : foundInf == 0 ? SkipReason.None
            : cause == MezzoScaleCause.AtMinimum && ThrowsAtMinScale ? SkipReason.ScaleAtMinimum
            : cause == MezzoScaleCause.NotANumber ? SkipReason.NotANumber
            : SkipReason.NonFiniteGradients;
        var gradients = foundInf != 0 || Norm is not null ? figures.Describe(Norm is not null, Parameters) : (GradientSummary?)null;
        return new ScalerStepResult(reason == SkipReason.None ? StepOutcome.Applied : StepOutcome.Skipped, reason, scale) { Gradients = gradients };
    }
}
