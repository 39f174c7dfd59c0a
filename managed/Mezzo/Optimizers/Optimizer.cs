// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>Changes parameters by their gradients: one native call for each group of parameters.</summary>
public abstract partial class Optimizer : IDisposable
{
    private readonly Parameter[] _parameters;
    private readonly Dictionary<Parameter, ParameterGroup> _groupOf;
    private readonly Tensor _gradNorm;
    private readonly Tensor _unreadFoundInf; // f32 scalar for checks whose result nobody reads

    /// <summary>Takes the parameters to optimise.</summary>
    /// <exception cref="ArgumentException">There are none, one is given twice, or they live on different devices.</exception>
    private protected Optimizer(IEnumerable<(IEnumerable<Parameter> Parameters, OptimizerOptions Options)> groups)
    {
        ArgumentNullException.ThrowIfNull(groups);
        (Parameter[] Parameters, OptimizerOptions Options)[] given =
            [.. groups.Select(group => (group.Parameters?.ToArray() ?? throw new ArgumentNullException(nameof(groups)), group.Options ?? throw new ArgumentNullException(nameof(groups))))];
        _parameters = [.. given.SelectMany(group => group.Parameters)];
        if (_parameters.Length == 0 || given.Any(group => group.Parameters.Length == 0))
        {
            throw new ArgumentException("Optimizer got an empty parameter list.", nameof(groups));
        }

        if (_parameters.Distinct().Count() != _parameters.Length)
        {
            throw new ArgumentException("A parameter is given to the optimizer twice.", nameof(groups));
        }

        if (_parameters.FirstOrDefault(p => p.Device != Device) is { } odd)
        {
            throw new ArgumentException($"The parameter {odd.Description} is on {odd.Device}, expected {Device} as the first one.", nameof(groups));
        }

        Groups = [.. given.Select(group => new ParameterGroup(group.Parameters, group.Options))];
        _groupOf = Groups.SelectMany(group => group.Parameters.Select(parameter => (parameter, group))).ToDictionary();
        _gradNorm = Tensor.AllocateOwned([], DType.Float64, Device);
        _gradNorm.Fill(0);
        _unreadFoundInf = Tensor.AllocateOwned([], DType.Float32, Device);
    }

    /// <summary>The parameters with their hyperparameters and learning rates, in the order given.</summary>
    public IReadOnlyList<ParameterGroup> Groups { get; }

    /// <summary>The parameters of all groups.</summary>
    public IReadOnlyList<Parameter> Parameters => _parameters;

    /// <summary>The model whose parameters these are, where the optimizer was made of a model.</summary>
    internal Module? Model { get; private protected init; }

    /// <summary>Device of the parameters.</summary>
    public Device Device => _parameters[0].Device;

    /// <summary>Learning rate of all groups, where they have the same.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to a negative number, NaN or infinity.</exception>
    /// <exception cref="InvalidOperationException">They have learning rates of their own.</exception>
    public double LearningRate
    {
        get => Groups.All(group => group.LearningRate == Groups[0].LearningRate)
            ? Groups[0].LearningRate
            : throw new InvalidOperationException("The optimizer's groups have learning rates of their own: use that of each of its Groups.");
        set
        {
            _ = LearningRate;
            foreach (var group in Groups)
            {
                group.LearningRate = value;
            }
        }
    }

    /// <summary>Schedule of the first group; sets that of all groups.</summary>
    public LearningRateSchedule? Schedule
    {
        get => Groups[0].Schedule;
        set
        {
            foreach (var group in Groups)
            {
                group.Schedule = value;
            }
        }
    }

    /// <summary>Which steps the schedule of the first group counts; sets it for all groups.</summary>
    public ScheduleSteps ScheduleSteps
    {
        get => Groups[0].ScheduleSteps;
        set
        {
            foreach (var group in Groups)
            {
                group.ScheduleSteps = value;
            }
        }
    }

    /// <summary>Number of steps applied to the first group. Waits for the work that counts them.</summary>
    public long StepCount => Groups[0].StepCount;

    /// <summary>
    /// Whether the gradients are measured in each step, in the pass that looks for Inf and NaN: their norm and the rest of
    /// <see cref="GradientSummary"/>. Clipping by the norm of all does so, too.
    /// </summary>
    public bool MeasuresGradients { get; set; }

    /// <summary>f64 scalar, the norm of all unscaled gradients in the latest step; null where nobody measures it.</summary>
    internal Tensor? GradNorm => MeasuresGradients || ClipsByNormOfAll ? _gradNorm : null;

    /// <summary>What can be changed and a captured step holds as it was, as a value that can be compared.</summary>
    internal object Settings => (MeasuresGradients, string.Join(',', Groups.Select(group => group.ScheduleSteps)));

    /// <summary>Computes a loss, differentiates it anew and applies the gradients.</summary>
    /// <param name="closure">Returns the loss, a scalar; unlike PyTorch's, it neither clears gradients nor differentiates.</param>
    /// <returns>The loss.</returns>
    public Tensor Step(Func<Tensor> closure)
    {
        ArgumentNullException.ThrowIfNull(closure);
        ZeroGrad();
        var loss = closure();
        loss.Backward();
        Step();
        return loss;
    }

    /// <summary>Applies the gradients. Parameters without one are left alone.</summary>
    /// <exception cref="InvalidOperationException">A gradient is still multiplied by a <see cref="GradScaler"/>'s loss scale.</exception>
    public void Step()
    {
        if (Array.Find(_parameters, parameter => parameter.IsGradScaled) is { } scaled)
        {
            throw new InvalidOperationException(
                $"The gradient of {scaled.Name} is multiplied by the loss scale, which Step() knows nothing of: call the GradScaler's Step, or its Unscale before.");
        }

        Measure(default, _unreadFoundInf, summary: null);
        Step(default, default);
    }

    /// <summary>Frees the gradients of all parameters.</summary>
    public void ZeroGrad()
    {
        foreach (var parameter in _parameters)
        {
            parameter.ClearGrad();
        }
    }

    /// <summary>Frees the optimizer's state; the parameters are their module's.</summary>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>
    /// Measures the norms that the step will need, and looks for Inf and NaN in the same pass; and says what the gradients
    /// hold where there are any.
    /// </summary>
    /// <param name="gradScale">f32 scalar that the gradients are multiplied by, or the null tensor.</param>
    /// <param name="foundInf">f32 scalar, set to 1 where a gradient that is read holds Inf or NaN.</param>
    /// <param name="summary">i64 [5], receives the native library's grad_summary; null where nobody wants it.</param>
    internal void Measure(MezzoTensor gradScale, Tensor foundInf, Tensor? summary)
    {
        foreach (var group in Groups)
        {
            group.MeasureNorms(gradScale, foundInf);
        }

        if (GradNorm is not null || summary is not null)
        {
            MeasureAll(gradScale, foundInf, GradNorm, summary);
        }
    }

    /// <summary>Clips in another way than the options say until what is returned is disposed of; null for as they say.</summary>
    internal IDisposable ClipOnce(GradientClipping? clipping)
    {
        var restored = new ClippingRestored(this);
        try
        {
            foreach (var group in Groups)
            {
                group.ClipOnce(clipping);
            }
        }
        catch
        {
            restored.Dispose();
            throw;
        }

        return restored;
    }

    /// <summary>
    /// What the gradient of each parameter holds as it is, multiplied by the loss scale where it still is: norm, numbers of Inf, NaN
    /// and zeros, and the exponent of the largest element. One pass over the gradients; waits for the work that computes them.
    /// </summary>
    /// <returns>The parameters that have a gradient, in order, with what theirs holds.</returns>
    public IReadOnlyList<(Parameter Parameter, GradientSummary Gradient)> ReadGradients()
    {
        var parameters = WithGradient();
        if (parameters.Length == 0)
        {
            return [];
        }

        using var norms = Tensor.AllocateOwned([parameters.Length], DType.Float64, Device);
        using var stats = Tensor.AllocateOwned([parameters.Length, GradientFigures.OfEach], DType.Int64, Device);
        Calls.Unscale(
            _unreadFoundInf.Handle,
            Array.ConvertAll(parameters, parameter => parameter.Grad!.Handle),
            default,
            new MezzoUnscaleDesc { CheckOnly = 1, GradNorms = norms.Handle, GradStats = stats.Handle });
        var (norm, stat) = (norms.ToArray<double>(), stats.ToArray<long>());
        return [.. parameters.Select((parameter, i) => (parameter, GradientFigures.Describe(parameter, norm[i], stat.AsSpan(i * GradientFigures.OfEach))))];
    }

    /// <summary>Measures and reads the norm of all gradients as they are.</summary>
    internal double ReadGradNorm()
    {
        MeasureAll(default, _unreadFoundInf, _gradNorm, summary: null);
        return _gradNorm.Item();
    }

    /// <summary>Whether <see cref="Measure"/> reads the gradient of a parameter, also where no Inf or NaN was found.</summary>
    internal bool IsMeasured(Parameter parameter) => GradNorm is not null || _groupOf[parameter].HasNorms;

    /// <summary>What schedules count that count skipped steps too.</summary>
    internal IEnumerable<Tensor> CountersOfAllSteps => from @group in Groups where @group.CounterOfAllSteps is not null select @group.CounterOfAllSteps;

    /// <summary>Takes back what the host noted of the latest step, once it is known to have been skipped.</summary>
    internal void UnmarkSkippedStep() => Array.ForEach(WithGradient(), parameter => parameter.UnmarkStepped());

    /// <summary>The parameters that have a gradient.</summary>
    internal Parameter[] WithGradient() => WithGradient(_parameters);

    /// <summary>Applies the gradients, which may still be scaled, unless an Inf or NaN was found in them.</summary>
    /// <param name="gradScale">f32 scalar that the gradients are multiplied by, or the null tensor.</param>
    /// <param name="foundInf">f32 scalar that is not 0 when the step must be skipped, or the null tensor.</param>
    internal void Step(MezzoTensor gradScale, MezzoTensor foundInf)
    {
        (ParameterGroup Group, Parameter[] Parameters)[] steps =
            [.. Groups.Select(group => (group, WithGradient(group.Parameters))).Where(step => step.Item2.Length > 0)];
        foreach (var (group, _) in steps)
        {
            group.PrepareStep(); // what may throw comes before anything is changed
        }

        foreach (var (group, parameters) in steps)
        {
            Step(parameters, group.Options, group.InputsOf(parameters.Length, gradScale, foundInf, _gradNorm));
            Array.ForEach(parameters, parameter => parameter.MarkStepped());
        }

        GC.KeepAlive(this);
    }

    /// <summary>The parameters that have a gradient.</summary>
    private static Parameter[] WithGradient(IEnumerable<Parameter> parameters) => [.. parameters.Where(parameter => parameter.Grad is not null)];

    /// <summary>Zeros of a parameter's shape, in the dtype that it is computed in.</summary>
    private protected static Tensor ZerosLike(Parameter parameter)
    {
        var zeros = Tensor.AllocateOwned(parameter.Shape, parameter.DType.Arithmetic(), parameter.Device);
        zeros.Fill(0);
        return zeros;
    }

    /// <summary>Applies the gradients of a group.</summary>
    /// <param name="parameters">Those of its parameters that have a gradient.</param>
    /// <param name="options">Its hyperparameters.</param>
    /// <param name="inputs">What all optimizers take.</param>
    private protected abstract void Step(Parameter[] parameters, OptimizerOptions options, MezzoStepInputs inputs);

    /// <summary>Frees the optimizer's state.</summary>
    /// <param name="disposing">Always true: the optimizer itself has nothing to finalise.</param>
    protected virtual void Dispose(bool disposing)
    {
        foreach (var group in Groups)
        {
            group.Free();
        }

        _gradNorm.Dispose();
        _unreadFoundInf.Dispose();
    }

    private bool ClipsByNormOfAll => Groups.Any(group => group.Clipping is { MaxNorm: > 0, Scope: ClippingScope.All });

    /// <summary>One pass over all gradients; without a norm to measure, only where Inf or NaN was found.</summary>
    private void MeasureAll(MezzoTensor gradScale, Tensor foundInf, Tensor? norm, Tensor? summary) => Calls.Unscale(
        foundInf.Handle,
        Array.ConvertAll(WithGradient(), parameter => parameter.Grad!.Handle),
        gradScale,
        new MezzoUnscaleDesc
        {
            CheckOnly = 1,
            OnlyIfFound = norm is null ? 1 : 0,
            GradNorm = norm?.Handle ?? default,
            GradSummary = summary?.Handle ?? default,
        });

    private sealed class ClippingRestored(Optimizer optimizer) : IDisposable
    {
        public void Dispose()
        {
            foreach (var group in optimizer.Groups)
            {
                group.ClipOnce(null);
            }
        }
    }
}
