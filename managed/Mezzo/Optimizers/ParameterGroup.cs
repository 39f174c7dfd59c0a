// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>Which steps a schedule counts.</summary>
public enum ScheduleSteps
{
    /// <summary>Steps that were applied, as DeepSpeed's engine and <c>BertAdam</c> count: one skipped for Inf or NaN does not move it on.</summary>
    Applied = 0,

    /// <summary>All steps, as PyTorch's schedulers count when they are stepped in each iteration.</summary>
    All = 1,
}

/// <summary>Parameters of an optimizer with hyperparameters, a learning rate and a schedule of their own.</summary>
public sealed partial class ParameterGroup
{
    private readonly LearningRates _rates;
    private readonly Tensor _step;
    private readonly Tensor _allSteps;
    private Tensor? _norm;
    private Tensor? _norms;
    private Tensor? _presentNorms;
    private GradientClipping? _clippingOnce;
    private double _learningRate;
    private ScheduleSteps _scheduleSteps;

    internal ParameterGroup(IReadOnlyList<Parameter> parameters, OptimizerOptions options)
    {
        (Parameters, Options, _learningRate) = (parameters, options, options.LearningRate);
        var device = parameters[0].Device;
        _rates = new LearningRates(device);
        _step = Counter();
        _allSteps = Counter();
        MakeRoomForNorms();

        Tensor Counter()
        {
            var counter = Tensor.AllocateOwned([], DType.Int64, device);
            counter.Fill(0);
            return counter;
        }
    }

    /// <summary>The parameters.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>The hyperparameters; <see cref="LearningRate"/> is that of the group.</summary>
    public OptimizerOptions Options { get; }

    /// <summary>Learning rate of the coming steps, before the schedule. Graphs that were captured follow it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to a negative number, NaN or infinity.</exception>
    public double LearningRate
    {
        get => _learningRate;
        set => _learningRate = Requirements.FiniteAtLeastZero(value, "lr");
    }

    /// <summary>What the learning rate is multiplied by in each step; null for 1.</summary>
    public LearningRateSchedule? Schedule { get; set; }

    /// <summary>
    /// Which steps the schedule counts. Where all of them are to count from now on, it goes on from the number of those
    /// applied. A step in which no parameter of the group has a gradient is none of its steps.
    /// </summary>
    /// <exception cref="InvalidOperationException">Changed within a capture, which holds the one or the other.</exception>
    public ScheduleSteps ScheduleSteps
    {
        get => _scheduleSteps;
        set
        {
            if (value == _scheduleSteps)
            {
                return;
            }

            if (CaptureTrace.Recording is not null)
            {
                throw new InvalidOperationException("ScheduleSteps was changed within a capture, expected before it.");
            }

            _scheduleSteps = value;
            _allSteps.CopyFrom(_step);
        }
    }

    /// <summary>Number of steps applied. Waits for the work that counts them.</summary>
    public long StepCount => Read(_step);

    /// <summary>Learning rate of the next step, after the schedule. Waits for the work that counts the steps.</summary>
    public double NextLearningRate => LearningRate * (Schedule?.Factor(Read(ScheduleCounter)) ?? 1);

    /// <summary>How the coming step clips.</summary>
    internal GradientClipping? Clipping => _clippingOnce ?? Options.Clipping;

    /// <summary>Whether norms are measured for the group alone.</summary>
    internal bool HasNorms => Clipping is { MaxNorm: > 0, Scope: not ClippingScope.All };

    /// <summary>What the schedule counts, if it counts skipped steps too.</summary>
    internal Tensor? CounterOfAllSteps => CountsAll ? _allSteps : null;

    private bool CountsAll => ScheduleSteps == ScheduleSteps.All;

    private Tensor ScheduleCounter => CountsAll ? _allSteps : _step;

    /// <summary>Frees the group's state; the parameters are their module's.</summary>
    internal void Free()
    {
        _rates.Free();
        _step.Dispose();
        _allSteps.Dispose();
        _norm?.Dispose();
        _norms?.Dispose();
        _presentNorms?.Dispose();
    }

    /// <summary>Clips in another way than the options say; null for as they say.</summary>
    internal void ClipOnce(GradientClipping? clipping)
    {
        _clippingOnce = clipping;
        MakeRoomForNorms();
    }

    /// <summary>Makes the learning rate of the coming step ready, and that of each launch of one that is being captured.</summary>
    internal void PrepareStep()
    {
        var counter = ScheduleCounter;
        if (CaptureTrace.Recording is { } recording && recording.Device == Parameters[0].Device)
        {
            recording.OnBeforeLaunch(this, steps => Prepare(counter, steps));
        }
        else
        {
            Prepare(counter, 1);
        }
    }

    /// <summary>Measures the norms that are the group's own, and looks for Inf and NaN in the same pass.</summary>
    internal void MeasureNorms(MezzoTensor gradScale, Tensor foundInf)
    {
        MezzoTensor[] gradients = [.. from parameter in Parameters where parameter.Grad is not null select parameter.Grad!.Handle];
        if (gradients.Length == 0 || NormsOf(gradients.Length) is not { } norms)
        {
            return;
        }

        var desc = new MezzoUnscaleDesc { CheckOnly = 1 };
        (norms.Rank == 0 ? ref desc.GradNorm : ref desc.GradNorms) = norms.Handle;
        Calls.Unscale(foundInf.Handle, gradients, gradScale, desc);
    }

    /// <summary>What a step takes beside parameters and states.</summary>
    /// <param name="present">Number of parameters that have a gradient.</param>
    /// <param name="gradScale">f32 scalar that the gradients are multiplied by, or the null tensor.</param>
    /// <param name="foundInf">f32 scalar that is not 0 when the step must be skipped, or the null tensor.</param>
    /// <param name="normOfAll">The norm of all gradients of the optimizer.</param>
    internal MezzoStepInputs InputsOf(int present, MezzoTensor gradScale, MezzoTensor foundInf, Tensor normOfAll) => new()
    {
        Step = _step.Handle,
        Lr = _rates.Tensor.Handle,
        LrStep = CountsAll ? _allSteps.Handle : default,
        GradScale = gradScale,
        FoundInf = foundInf,
        GradNorm = Clipping is { MaxNorm: > 0 } ? (NormsOf(present) ?? normOfAll).Handle : default,
        MaxGradNorm = Clipping?.MaxNorm ?? 0,
        MaxGradValue = Clipping?.MaxValue ?? 0,
    };

    private static long Read(Tensor counter) => counter.ToArray<long>()[0];

    private void Prepare(Tensor counter, int steps) => _rates.Prepare(LearningRate, Schedule, counter, steps);

    private void MakeRoomForNorms()
    {
        if (HasNorms && Clipping!.Scope == ClippingScope.Group)
        {
            _norm ??= Tensor.AllocateOwned([], DType.Float64, Parameters[0].Device);
        }
        else if (HasNorms)
        {
            _norms ??= Tensor.AllocateOwned([Parameters.Count], DType.Float64, Parameters[0].Device);
        }
    }

    /// <summary>Where the norms of so many gradients are, one of them all or one of each; null where the group has none of its own.</summary>
    private Tensor? NormsOf(int present)
    {
        if (!HasNorms || Clipping!.Scope == ClippingScope.Group)
        {
            return HasNorms ? _norm : null;
        }

        if (_presentNorms is null || _presentNorms.Shape[0] != present)
        {
            _presentNorms?.Dispose();
            _presentNorms = _norms!.ViewOwned([present]);
        }

        return _presentNorms;
    }
}
