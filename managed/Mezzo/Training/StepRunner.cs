// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;
using Mezzo.Native;
using Microsoft.Extensions.Logging;

namespace Mezzo;

/// <summary>
/// Runs training steps: one op after the other or, once they have shown that they repeat, by launching a graph.
/// </summary>
/// <remarks>
/// The first step of a loss function runs one op after the other, which makes states and 16-bit copies. The second is
/// captured and launched. The third is captured again: when both captures are the same, it and all further ones are
/// launched. A capture runs nothing, so each of these steps does exactly what it would do otherwise. A step whose
/// settings are not those of the step before runs one op after the other, so that settings that change with each step
/// cost no capture.
/// </remarks>
internal sealed partial class StepRunner : IDisposable
{
    /// <summary>Loss functions and shapes of inputs that graphs are kept of: each keeps the memory of a whole step.</summary>
    private const int MaxKept = 4;

    private readonly TrainingStep _step;
    private readonly ILogger _logger;
    private readonly int _maxRetries;
    private readonly bool _captures;
    private readonly HashSet<Tensor> _cleared;
    private readonly List<RepeatedStep> _kept = [];
    private readonly List<PendingStep> _pending = [];
    private int _unknownInARow;
    private RepeatedStep? _rehearsed; // the one whose step, op by op, the next capture is to be like
    private bool _toldOfUnknown;
    private int _retries; // of the step in progress

    public StepRunner(TrainingStep step, CaptureMode mode, int maxRetries, ILogger logger)
    {
        (_step, _maxRetries, _logger) = (step, maxRetries, logger);
        _captures = mode switch
        {
            CaptureMode.Auto => step.Optimizer.Device.Type == DeviceType.Cuda,
            CaptureMode.On => true,
            CaptureMode.Off => false,
            _ => throw new ArgumentOutOfRangeException(nameof(mode), mode, "Not a capture mode."),
        };
        _cleared = [.. step.Optimizer.Parameters];
        Status = (_captures, mode) switch
        {
            (true, _) => new CaptureStatus(CaptureState.Preparing, "no step has run yet"),
            (_, CaptureMode.Off) => new CaptureStatus(CaptureState.Off, "capturing is switched off"),
            _ => new CaptureStatus(CaptureState.Off, "steps on the CPU are captured only when asked for"),
        };
    }

    /// <summary>How the latest step ran.</summary>
    public CaptureStatus Status { get; private set; }

    /// <summary>Number of the next step.</summary>
    public long Next { get; private set; }

    /// <summary>Runs a step and waits for it, or launches it and lets a later call wait.</summary>
    /// <param name="function">The loss function and its inputs.</param>
    /// <param name="readEvery">Number of steps to wait for together.</param>
    /// <param name="report">Receives the result once it is known, after those of the steps before.</param>
    public void Run(StepFunction function, int readEvery, Action<StepResult> report)
    {
        _step.Random.Begin();
        if (readEvery > 1 && FindLaunchable(function) is { } repeated)
        {
            repeated.Stage(function.Inputs);
            repeated.Launch();
            Status = repeated.Status;
            _step.Keep(_pending.Count, readEvery);
            _pending.Add(new PendingStep(Next++, repeated.Issued, report));
            if (_pending.Count == readEvery)
            {
                ReadPending();
            }

            return;
        }

        ReadPending();
        _retries = 0;
        var (step, loss) = RunNow(function);
        report(Result(Next++, step, loss) with { Retries = _retries });
    }

    /// <summary>Waits for all steps launched so far, and reports those that nobody has waited for.</summary>
    public void ReadPending()
    {
        PendingStep[] pending = [.. _pending];
        _pending.Clear();
        var results = _step.ReadKept(Array.ConvertAll(pending, step => step.Issued));
        for (int i = 0; i < pending.Length; i++)
        {
            pending[i].Report(Result(pending[i].Number, results[i].Step, results[i].Loss));
        }
    }

    /// <summary>Goes on with the step of this number, in a run that was resumed. Graphs are forgotten: they hold names of random draws.</summary>
    public void GoOnAt(long step)
    {
        Next = step;
        Dispose();
        _kept.Clear();
        _rehearsed = null;
    }

    /// <summary>Frees the graphs.</summary>
    public void Dispose() => _kept.ForEach(repeated => repeated.Dispose());

    private static StepResult Result(long number, ScalerStepResult step, double loss) =>
        new(number, step.Outcome, step.Reason, step.Scale, loss) { Gradients = step.Gradients };

    private (ScalerStepResult Step, double Loss) RunNow(StepFunction function)
    {
        if (!_captures)
        {
            return _step.Read(Issue(function));
        }

        var repeated = Find(function);
        if (_unknownInARow > MaxKept)
        {
            return RunUnknown(function);
        }

        if (repeated.IsRefused)
        {
            Status = repeated.Status;
            return RunOpByOp(function);
        }

        object settings = _step.Settings;
        if (WhyNotNow(repeated, function, settings) is { } reason)
        {
            return Observe(repeated, function, settings, reason);
        }

        if (repeated is { IsProven: true, Graph: not null })
        {
            repeated.Stage(function.Inputs);
        }
        else if (!TryCapture(repeated, function))
        {
            return RunOpByOp(function);
        }

        return Launch(repeated);
    }

    /// <summary>The graph that a step is a launch of, where that goes on while the host does; null when there is none.</summary>
    private RepeatedStep? FindLaunchable(StepFunction function) =>
        _captures
        && _step.Optimizer.Device.Type == DeviceType.Cuda
        && _kept.Exists(kept => kept is { IsProven: true, Graph: not null } && kept.Fits(function) && WhyNotNow(kept, function, _step.Settings) is null)
            ? Find(function)
            : null;

    private RepeatedStep Find(StepFunction function)
    {
        int index = _kept.FindIndex(repeated => repeated.Fits(function));
        var found = index >= 0 ? _kept[index] : new RepeatedStep(function);
        _unknownInARow = index >= 0 ? 0 : _unknownInARow + 1;
        if (index >= 0)
        {
            _kept.RemoveAt(index);
        }
        else if (_kept.Count == MaxKept)
        {
            _kept[0].Dispose();
            _kept.RemoveAt(0);
        }

        // The one used last stands last.
        _kept.Add(found);
        return found;
    }

    /// <summary>Why a step runs op by op although nothing is known against capturing it; null when it need not.</summary>
    private string? WhyNotNow(RepeatedStep repeated, StepFunction function, object settings) =>
        repeated.Settings is null ? "the first step of a loss function, and with inputs of these shapes, is not captured"
            : !repeated.Settings.Equals(settings) ? "a setting has changed since the step before"
            : !_step.Scaler.IsReady ? "the scaler was used outside of the trainer since its last update"
            : ValueCheck.IsDue(_step.Random.StepNumber) ? "what this step computes once more is compared with what it was"
            : function.Inputs.Any(input => input.RequiresGrad) ? "an input requires a gradient, which a copy of it would not receive"
            : repeated.Graph?.FindChange(_cleared);

    private IssuedScalerStep Issue(StepFunction function)
    {
        using var scope = TensorScope.Begin();
        _step.Optimizer.ZeroGrad();
        var issued = _step.Issue(function, function.Inputs, out var redo);
        while (TakeRetry(issued))
        {
            _step.Optimizer.UnmarkSkippedStep(); // else the graph's saved parameters would count as changed
            _step.Optimizer.ZeroGrad();
            issued = redo();
        }

        return issued;
    }

    /// <summary>Takes one of the tries that are left, if there is one, and if the step, which it waits for, is one that a lower scale may help.</summary>
    private bool TakeRetry(IssuedScalerStep issued)
    {
        if (_retries == _maxRetries)
        {
            return false;
        }

        var (step, loss) = _step.Read(issued);
        bool mayHelp = double.IsFinite(loss) && _step.Scaler.LowerScaleMayHelp(step);
        _retries += mayHelp ? 1 : 0;
        return mayHelp;
    }

    private (ScalerStepResult Step, double Loss) RunOpByOp(StepFunction function) => RunOpByOp(function, out _);

    /// <summary>Runs a step op by op; where memory runs out, once more without the graphs.</summary>
    private (ScalerStepResult Step, double Loss) RunOpByOp(StepFunction function, out CaptureTrace trace)
    {
        IssuedScalerStep issued = default;
        trace = new CaptureTrace(isRecording: false);
        try
        {
            trace.Run(() => issued = Issue(function));
        }
        catch (MezzoException exception) when (exception.Status == MezzoStatus.OutOfMemory && trace.IsRepeatable && HoldsGraphs)
        {
            GiveUpGraphs();
            _step.Recover();
            trace.Run(() => issued = Issue(function));
        }

        return _step.Read(issued);
    }

    private (ScalerStepResult Step, double Loss) RunUnknown(StepFunction function)
    {
        Status = new CaptureStatus(
            CaptureState.Refused,
            $"each step brings a loss function or shapes of inputs that are not among the last {MaxKept}; "
                + "a lambda is another function each time when it captures variables of the loop around it: declare them as inputs of the step");
        if (!_toldOfUnknown)
        {
            _toldOfUnknown = true;
            LogRefused(_logger, Next, Status.Reason);
        }

        return RunOpByOp(function);
    }

    /// <summary>Runs a step op by op and notes what a capture of the next one has to know.</summary>
    private (ScalerStepResult Step, double Loss) Observe(RepeatedStep repeated, StepFunction function, object settings, string reason)
    {
        if (repeated.Graph is not null)
        {
            LogDropped(_logger, Next, reason);
        }

        Status = new CaptureStatus(CaptureState.Preparing, reason);
        if (!settings.Equals(repeated.Settings))
        {
            repeated.Drop();
        }
        else if (!repeated.TryStartOver(reason))
        {
            Status = repeated.Status;
            LogRefused(_logger, Next, reason);
        }

        Rehearse(repeated);
        var result = RunOpByOp(function, out var trace);
        (repeated.Observed, repeated.Settings) = (trace, settings);
        return result;
    }

    /// <summary>Has the memory of a step's next capture laid out by what the step takes from here on.</summary>
    private void Rehearse(RepeatedStep repeated)
    {
        Calls.GraphRehearse(_step.Optimizer.Device.Id);
        _rehearsed = repeated;
    }

    /// <summary>Captures a step.</summary>
    /// <returns>False when it cannot be captured; nothing of it has happened then.</returns>
    private bool TryCapture(RepeatedStep repeated, StepFunction function)
    {
        try
        {
            // The memory of one graph serves for the next.
            repeated.Drop();
            repeated.Observed.BeforeLaunch();
            _step.Optimizer.ZeroGrad();
            if (_rehearsed != repeated)
            {
                Rehearse(repeated); // what ran op by op since was another one
            }

            var inputs = repeated.Stage(function.Inputs);
            IssuedScalerStep issued = default;
            using var scope = TensorScope.Begin();
            var graph = Graph.Capture(() => issued = _step.Issue(function, inputs, out _), _step.Optimizer.Device);
            repeated.Take(graph, issued, _step.Optimizer.Parameters, _step.Buffers?.Changed ?? []);
            LogCaptured(_logger, Next, graph.Ops, graph.MemoryBytes);
        }
        catch (Exception exception)
        {
            _step.Recover();
            if (exception is not MezzoException { Status: MezzoStatus.CaptureInvalid or MezzoStatus.OutOfMemory } failure)
            {
                throw;
            }

            if (failure.Status == MezzoStatus.OutOfMemory && HoldsGraphs)
            {
                GiveUpGraphs();
                Status = new CaptureStatus(CaptureState.Preparing, "the graphs of other steps left no memory for that of this one");
                return false;
            }

            repeated.Refuse(failure.Message);
        }

        Status = repeated.Status;
        if (repeated.IsRefused)
        {
            LogRefused(_logger, Next, Status.Reason);
        }

        return repeated.Graph is not null;
    }

    private (ScalerStepResult Step, double Loss) Launch(RepeatedStep repeated)
    {
        repeated.Launch();
        while (TakeRetry(repeated.Issued))
        {
            _step.Buffers?.Restore(repeated.Buffers);
            repeated.Launch();
        }

        var result = _step.Read(repeated.Issued);
        Status = repeated.Status;
        if (repeated.IsRefused)
        {
            repeated.Dispose();
        }

        return result;
    }

    private bool HoldsGraphs => _kept.Exists(repeated => repeated.Graph is not null);

    private void GiveUpGraphs()
    {
        foreach (var repeated in _kept)
        {
            if (!repeated.TryGiveUp())
            {
                LogRefused(_logger, Next, repeated.Status.Reason);
            }
        }
    }

    [LoggerMessage(EventId = 3, EventName = "CaptureRefused", Level = LogLevel.Information, Message = "from step {Step} on steps are not captured: {Reason}")]
    private static partial void LogRefused(ILogger logger, long step, string reason);

    [LoggerMessage(EventId = 4, EventName = "Captured", Level = LogLevel.Debug, Message = "step {Step} captured: {Ops} ops, {Bytes} bytes")]
    private static partial void LogCaptured(ILogger logger, long step, long ops, long bytes);

    [LoggerMessage(EventId = 5, EventName = "CaptureDropped", Level = LogLevel.Debug, Message = "step {Step}: the graph was dropped, {Reason}")]
    private static partial void LogDropped(ILogger logger, long step, string reason);

    /// <summary>A launched step whose result nobody has read.</summary>
    private readonly record struct PendingStep(long Number, IssuedScalerStep Issued, Action<StepResult> Report);
}
