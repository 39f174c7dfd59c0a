// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>A loss function as the program gave it, and how to call it.</summary>
/// <param name="Loss">The function; equal to another one when both are the same code on the same object.</param>
/// <param name="Inputs">The declared inputs of this step, those of one micro-batch after the other.</param>
/// <param name="Call">Calls the function with the inputs of a micro-batch.</param>
/// <param name="MicroBatches">Number of micro-batches whose gradients are accumulated.</param>
internal readonly record struct StepFunction(
    Delegate Loss, IReadOnlyList<Tensor> Inputs, Func<Delegate, IReadOnlyList<Tensor>, Tensor?> Call, int MicroBatches = 1)
{
    /// <summary>Calls the function for a micro-batch.</summary>
    /// <param name="inputs">Those of all micro-batches, or the graph's copies of them.</param>
    /// <param name="index">Which one.</param>
    public Tensor CallFor(IReadOnlyList<Tensor> inputs, int index)
    {
        int count = inputs.Count / MicroBatches;
        return Call(Loss, MicroBatches == 1 ? inputs : [.. inputs.Skip(index * count).Take(count)])
            ?? throw new InvalidOperationException("The loss function returned null, expected a scalar tensor.");
    }
}

/// <summary>
/// What a training step does on the device, from the forward pass to the update of the loss scale. Nothing is read
/// back in between: what the host wants to know is gathered in one tensor, and read in one piece.
/// </summary>
/// <param name="optimizer">The optimizer.</param>
/// <param name="scaler">The scaler.</param>
/// <param name="precision">What autocast computes in.</param>
/// <param name="isTriedAgain">Whether steps that overflow are issued again.</param>
internal sealed class TrainingStep(Optimizer optimizer, GradScaler scaler, Precision precision, bool isTriedAgain) : IDisposable
{
    [ThreadStatic]
    private static TrainingStep? _current;

    private Report? _report;

    /// <summary>The step whose forward pass the calling thread is in; null for none.</summary>
    public static TrainingStep? Current => _current;

    public Optimizer Optimizer => optimizer;

    public GradScaler Scaler => scaler;

    /// <summary>What the steps draw at random.</summary>
    public StepRandom Random { get; } = new(optimizer.Device);

    /// <summary>Which activations are computed once more; null for none.</summary>
    public CheckpointPlan? Plan { get; set; }

    /// <summary>What skipped steps change; null where no step is tried again.</summary>
    public StepBuffers? Buffers { get; } = isTriedAgain ? new() : null;

    /// <summary>What a captured step holds as it was, as a value that can be compared.</summary>
    public object Settings => (optimizer.Settings, scaler.Policy, Autocast.Current, NoGrad.IsRecording, Runtime.AllowTf32, Plan);

    /// <summary>Issues the step to the device. The gradients must have been cleared.</summary>
    /// <param name="function">The loss function.</param>
    /// <param name="inputs">Those of all micro-batches, or the graph's copies of them.</param>
    /// <param name="redo">Issues the step again, on cleared gradients: its backward pass, or all of one with several micro-batches.</param>
    /// <returns>Which figures <see cref="Read"/> will find.</returns>
    public IssuedScalerStep Issue(StepFunction function, IReadOnlyList<Tensor> inputs, out Func<IssuedScalerStep> redo)
    {
        _report ??= new Report(optimizer.Device);
        Buffers?.Begin();
        if (function.MicroBatches == 1)
        {
            Random.Rewind();
            var loss = Forward(function, inputs, 0);
            redo = () =>
            {
                Buffers?.Restore(optimizer.CountersOfAllSteps);
                return OrForget(() => Finish(loss, retainGraph: true));
            };
            return OrForget(() => Finish(loss, retainGraph: isTriedAgain && !Graph.IsCapturing));
        }

        redo = () =>
        {
            Buffers?.Restore(Buffers.Changed);
            return OrForget(() => Accumulate(function, inputs));
        };
        return OrForget(() => Accumulate(function, inputs));
    }

    /// <summary>Issues a step; after one that failed on the way the next one would be called the second since the last update.</summary>
    private IssuedScalerStep OrForget(Func<IssuedScalerStep> issue)
    {
        try
        {
            return issue();
        }
        catch
        {
            scaler.Forget();
            throw;
        }
    }

    private IssuedScalerStep Accumulate(StepFunction function, IReadOnlyList<Tensor> inputs)
    {
        Random.Rewind();
        for (int i = 0; i < function.MicroBatches; i++)
        {
            // What the forward pass of one has made is freed before that of the next.
            using var scope = TensorScope.Begin();
            var loss = Forward(function, inputs, i);
            scaler.Scale(loss).Backward();
            _report!.WriteLoss(loss, adds: i > 0);
        }

        return StepAndUpdate();
    }

    private IssuedScalerStep Finish(Tensor loss, bool retainGraph)
    {
        scaler.Scale(loss).Backward(retainGraph: retainGraph);
        _report!.WriteLoss(loss, adds: false);
        return StepAndUpdate();
    }

    private IssuedScalerStep StepAndUpdate()
    {
        Buffers?.BeforeChange(optimizer.CountersOfAllSteps);
        var step = scaler.IssueStep(optimizer);
        _report!.Write(step);
        scaler.IssueUpdate();
        _report.WriteCause(scaler.Cause);
        return step;
    }

    /// <summary>Measures the forward and backward pass of a step, which is not run.</summary>
    public CheckpointProfile Profile(StepFunction function)
    {
        // Live in each step but the first, and so before it.
        _report ??= new Report(optimizer.Device);
        scaler.Prepare(optimizer);
        var plan = Plan;
        Plan = null;
        try
        {
            return CheckpointProfile.Measure(
                () => Forward(function, function.Inputs, 0), loss => scaler.IsEnabled ? loss.Scale(1) : loss, optimizer.Device,
                accumulates: function.MicroBatches > 1, isRetained: isTriedAgain && function.MicroBatches == 1);
        }
        finally
        {
            Plan = plan;
        }
    }

    /// <summary>Waits for the step issued last.</summary>
    public (ScalerStepResult Step, double Loss) Read(IssuedScalerStep issued) => _report!.Read(issued);

    /// <summary>Keeps what the step issued last will report, while others are issued.</summary>
    /// <param name="place">Where, below <paramref name="capacity"/>.</param>
    /// <param name="capacity">Number of steps kept at most.</param>
    public void Keep(int place, int capacity) => _report!.Keep(place, capacity);

    /// <summary>Waits for the steps kept in places 0, 1, ...</summary>
    public (ScalerStepResult Step, double Loss)[] ReadKept(IReadOnlyList<IssuedScalerStep> issued) => issued.Count == 0 ? [] : _report!.ReadKept(issued);

    /// <summary>Makes ready for the next step after one that failed on the way.</summary>
    public void Recover()
    {
        scaler.Forget();
        optimizer.ZeroGrad();
    }

    public void Dispose()
    {
        Random.Dispose();
        Buffers?.Dispose();
        _report?.Dispose();
    }

    /// <summary>The part of the loss that a micro-batch adds to the mean over all.</summary>
    private Tensor Forward(StepFunction function, IReadOnlyList<Tensor> inputs, int index)
    {
        using var autocast = Autocast.Enable(precision);
        using var planned = Plan?.Enter();
        var outer = _current;
        _current = this;
        try
        {
            var loss = function.CallFor(inputs, index);
            return function.MicroBatches == 1 ? loss : loss * (1.0 / function.MicroBatches);
        }
        finally
        {
            _current = outer;
        }
    }

    /// <summary>Loss, loss scale, whether Inf or NaN was found and why, and what the gradients held, in one f64 tensor.</summary>
    private sealed class Report : IDisposable
    {
        private const int Figures = 5 + GradientFigures.Length;
        private readonly Tensor _all;
        private readonly Tensor _loss;
        private readonly Tensor _scale;
        private readonly Tensor _foundInf;
        private readonly Tensor _cause;
        private readonly Tensor _norm;
        private readonly Tensor _summary;
        private Tensor? _kept;
        private Tensor[] _places = [];

        public Report(Device device)
        {
            _all = Tensor.AllocateOwned([Figures], DType.Float64, device);
            _loss = _all.ViewOwned([], 0);
            _scale = _all.ViewOwned([], 1);
            _foundInf = _all.ViewOwned([], 2);
            _cause = _all.ViewOwned([], 3);
            _norm = _all.ViewOwned([], 4);
            _summary = _all.ViewOwned([GradientFigures.Length], 5);
            _all.Fill(0);
        }

        public void WriteLoss(Tensor loss, bool adds)
        {
            if (!adds)
            {
                Calls.CastForward(_loss.Handle, loss.Handle);
                return;
            }

            using var wide = Tensor.AllocateOwned([], DType.Float64, _all.Device);
            Calls.CastForward(wide.Handle, loss.Handle);
            Calls.AddForward(_loss.Handle, _loss.Handle, wide.Handle);
        }

        public void Write(IssuedScalerStep step)
        {
            Write(_scale, step.Scale);
            Write(_foundInf, step.FoundInf);
            Write(_norm, step.Norm);
            Write(_summary, step.Summary);
        }

        public void WriteCause(Tensor? cause) => Write(_cause, cause);

        public (ScalerStepResult Step, double Loss) Read(IssuedScalerStep step)
        {
            Span<double> values = stackalloc double[Figures];
            Calls.TensorRead(values, _all.Handle);
            return Result(step, values);
        }

        public void Keep(int place, int capacity)
        {
            if (_places.Length < capacity)
            {
                FreeKept();
                _kept = Tensor.AllocateOwned([capacity, Figures], DType.Float64, _all.Device);
                _places = [.. Enumerable.Range(0, capacity).Select(i => _kept.ViewOwned([Figures], i * Figures))];
            }

            Calls.TensorCopy(_places[place].Handle, _all.Handle);
        }

        public (ScalerStepResult Step, double Loss)[] ReadKept(IReadOnlyList<IssuedScalerStep> steps)
        {
            double[] values = _kept!.ToArray<double>();
            return [.. steps.Select((step, i) => Result(step, values.AsSpan(i * Figures, Figures)))];
        }

        public void Dispose()
        {
            FreeKept();
            _loss.Dispose();
            _scale.Dispose();
            _foundInf.Dispose();
            _cause.Dispose();
            _norm.Dispose();
            _summary.Dispose();
            _all.Dispose();
        }

        private static (ScalerStepResult Step, double Loss) Result(IssuedScalerStep step, ReadOnlySpan<double> values)
        {
            double loss = values[0];
            if (step.Scale is null)
            {
                return (step.Result(1, 0, MezzoScaleCause.None, default), loss);
            }

            var figures = GradientFigures.Read(values[4], Array.ConvertAll(values[5..].ToArray(), value => (long)value));

            // A static scale has no update that would tell the cause.
            var cause = (MezzoScaleCause)values[3];
            bool isNaN = cause == MezzoScaleCause.None && (!double.IsFinite(loss) || values[1] <= 1) && figures is { NaNs: > 0, Infs: 0 };
            return (step.Result(values[1], values[2], isNaN ? MezzoScaleCause.NotANumber : cause, figures), loss);
        }

        private static void Write(Tensor figure, Tensor? value)
        {
            if (value is not null)
            {
                Calls.CastForward(figure.Handle, value.Handle);
            }
        }

        private void FreeKept()
        {
            Array.ForEach(_places, place => place.Dispose());
            _kept?.Dispose();
        }
    }
}
