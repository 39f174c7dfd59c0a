// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>Changes parameters by their gradients: one native call for each group of parameters.</summary>
public abstract class Optimizer : IDisposable
{
    private readonly Parameter[] _parameters;
    private readonly Tensor _gradNorm;
    private Tensor? _ownFoundInf;

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
        _gradNorm = Tensor.AllocateOwned([], DType.Float64, Device);
        _gradNorm.Fill(0);
    }

    /// <summary>The parameters with their hyperparameters and learning rates, in the order given.</summary>
    public IReadOnlyList<ParameterGroup> Groups { get; }

    /// <summary>The parameters of all groups.</summary>
    public IReadOnlyList<Parameter> Parameters => _parameters;

    /// <summary>Device of the parameters.</summary>
    public Device Device => _parameters[0].Device;

    /// <summary>Learning rate of the first group; sets that of all groups.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to a negative number, NaN or infinity.</exception>
    public double LearningRate
    {
        get => Groups[0].LearningRate;
        set
        {
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

    /// <summary>Whether the norm of all gradients is measured in each step, also where nothing is clipped by it.</summary>
    public bool MeasuresGradNorm { get; set; }

    /// <summary>f64 scalar, the norm of all unscaled gradients in the latest step; null where nobody measures it.</summary>
    internal Tensor? GradNorm => MeasuresGradNorm || Clips(GradientNorm.All) ? _gradNorm : null;

    /// <summary>What can be changed and a captured step holds as it was, as a value that can be compared.</summary>
    internal object Settings => (MeasuresGradNorm, string.Join(',', Groups.Select(group => group.ScheduleSteps)));

    /// <summary>The parameters whose gradients <see cref="MeasureNorms"/> does not read.</summary>
    internal IReadOnlyList<Parameter> ParametersNotMeasured =>
        GradNorm is not null ? [] : NeedsNorms ? [.. from g in Groups where !g.HasNorms from parameter in g.Parameters select parameter] : _parameters;

    /// <summary>Whether a step needs the norms of gradients, so that they are read once before it.</summary>
    private bool NeedsNorms => GradNorm is not null || Clips(GradientNorm.Group) || Clips(GradientNorm.Parameter);

    /// <summary>Applies the gradients. Parameters without one are left alone.</summary>
    public void Step()
    {
        if (NeedsNorms)
        {
            _ownFoundInf ??= Tensor.AllocateOwned([], DType.Float32, Device);
            MeasureNorms(default, _ownFoundInf);
        }

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

    /// <summary>Measures the norms that the step will need, and looks for Inf and NaN in the same pass.</summary>
    /// <param name="gradScale">f32 scalar that the gradients are multiplied by, or the null tensor.</param>
    /// <param name="foundInf">f32 scalar, set to 1 where a gradient that is read holds Inf or NaN.</param>
    internal void MeasureNorms(MezzoTensor gradScale, Tensor foundInf)
    {
        if (GradNorm is { } all)
        {
            var gradients = Array.ConvertAll(WithGradient(_parameters), parameter => parameter.Grad!.Handle);
            Calls.Unscale(foundInf.Handle, gradients, gradScale, new MezzoUnscaleDesc { CheckOnly = 1, GradNorm = all.Handle });
        }

        foreach (var group in Groups)
        {
            group.MeasureNorms(gradScale, foundInf);
        }
    }

    /// <summary>Applies the gradients, which may still be scaled, unless an Inf or NaN was found in them.</summary>
    /// <param name="gradScale">f32 scalar that the gradients are multiplied by, or the null tensor.</param>
    /// <param name="foundInf">f32 scalar that is not 0 when the step must be skipped, or the null tensor.</param>
    internal void Step(MezzoTensor gradScale, MezzoTensor foundInf)
    {
        foreach (var group in Groups)
        {
            var active = WithGradient(group.Parameters);
            if (active.Length == 0)
            {
                continue;
            }

            group.PrepareStep();
            Step(active, group.Options, group.InputsOf(active.Length, gradScale, foundInf, _gradNorm));
            Array.ForEach(active, parameter => parameter.MarkStepped());
        }

        GC.KeepAlive(this);
    }

    /// <summary>The parameters that have a gradient.</summary>
    private static Parameter[] WithGradient(IEnumerable<Parameter> parameters) => [.. parameters.Where(parameter => parameter.Grad is not null)];

    /// <summary>Zeros of a parameter's shape, in the dtype that it is computed in.</summary>
    private protected static Tensor ZerosLike(Parameter parameter)
    {
        var zeros = Tensor.AllocateOwned(parameter.Shape, parameter.DType, parameter.Device);
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
            group.Dispose();
        }

        _gradNorm.Dispose();
        _ownFoundInf?.Dispose();
    }

    private bool Clips(GradientNorm norm) => Groups.Any(group => group.Options.Clipping is { MaxNorm: > 0 } clipping && clipping.NormOf == norm);
}
