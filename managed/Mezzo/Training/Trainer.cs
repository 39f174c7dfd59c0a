// SPDX-License-Identifier: MIT
using System.Diagnostics;
using Mezzo.Native;
using Microsoft.Extensions.Logging;

namespace Mezzo;

/// <summary>
/// The training loop: for each step a scope, autocast, the forward pass, the scaled backward pass, the
/// check for Inf and NaN, the optimizer and the update of the loss scale.
/// </summary>
/// <remarks>
/// <para>
/// Steps that repeat are captured in a graph, on CUDA unless <see cref="TrainerOptions.Capture"/> says otherwise, and
/// launched from then on; <see cref="CaptureStatus"/> tells. The loss function is then no longer called, so it must do
/// nothing but compute a loss on the device: what it counts, prints or draws at random would not be repeated, but for
/// dropout, which draws anew in each step. It may use tensors from outside, as long as they are the same ones in each
/// step; their elements may change. Tensors that change from step to step are declared as inputs of the step, and copied
/// to where the graph reads them.
/// </para>
/// <para>Results are bit-identical to those of steps that are not captured.</para>
/// </remarks>
public sealed partial class Trainer : IDisposable
{
    private const int DefaultReadEvery = 32;
    private const int MaxReadEvery = 4096;
    private readonly TrainerOptions _options;
    private readonly TrainingStep _training;
    private readonly StepRunner _runner;

    /// <summary>Creates a trainer of an optimizer's parameters.</summary>
    public Trainer(Optimizer optimizer, TrainerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        _options = options ?? new TrainerOptions();
        ArgumentOutOfRangeException.ThrowIfNegative(_options.LogEvery, nameof(options));
        ArgumentOutOfRangeException.ThrowIfLessThan(_options.MicroBatches, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(_options.RetriesOnOverflow, nameof(options));
        if (_options.ReadEvery is < 1 or > MaxReadEvery)
        {
            throw new ArgumentOutOfRangeException(nameof(options), _options.ReadEvery, $"ReadEvery must be from 1 to {MaxReadEvery}.");
        }

        ArgumentOutOfRangeException.ThrowIfNegative(_options.SaveEvery, nameof(options));
        ArgumentOutOfRangeException.ThrowIfLessThan(_options.SavesKept, 1, nameof(options));
        if (_options is { SaveEvery: > 0, SaveFolder: null })
        {
            throw new ArgumentException("SaveEvery is set, but no SaveFolder to save in.", nameof(options));
        }

        Scaler = _options.Scaler
            ?? (_options.Precision == Precision.Float16 ? new GradScaler(device: optimizer.Device) : new GradScaler(ScalerPolicy.Static(1), optimizer.Device));
        _training = new TrainingStep(optimizer, Scaler, _options.Precision, isTriedAgain: _options.RetriesOnOverflow > 0);
        _runner = new StepRunner(_training, _options.Capture, _options.RetriesOnOverflow, _options.Logger);
        _weights = WeightsOf(_options.Model ?? optimizer.Model, optimizer);
        if (_options.SaveFolder is not null)
        {
            State().Check(optimizer.Parameters); // rather now than at the first save
        }
    }

    /// <summary>The loss scaler in use.</summary>
    public GradScaler Scaler { get; }

    /// <summary>How the latest step ran, captured or not, and why so.</summary>
    public CaptureStatus CaptureStatus => _runner.Status;

    /// <summary>Which activations the coming steps compute once more instead of keeping them; null, as at first, for none.</summary>
    /// <remarks>Changes neither losses nor gradients nor parameters. One plan is for all micro-batches of a step.</remarks>
    public CheckpointPlan? CheckpointPlan
    {
        get => _training.Plan;
        set
        {
            _runner.ReadPending();
            _training.Plan = value;
        }
    }

    /// <summary>
    /// Measures a step without taking it: what the plans for <see cref="CheckpointPlan"/> follow from.
    /// Resets <see cref="MemoryStats.PeakBytes"/>, and makes what the first step would.
    /// </summary>
    /// <param name="loss">As in <see cref="Step(Func{Tensor})"/>, of one micro-batch, the largest.</param>
    /// <param name="microBatches">Number of micro-batches of a step.</param>
    /// <example><code>trainer.CheckpointPlan = trainer.Profile(() => Losses.Mse(model.Forward(x), y)).ForBudget(64_000_000);</code></example>
    public CheckpointProfile Profile(Func<Tensor> loss, int microBatches = 1)
    {
        ArgumentNullException.ThrowIfNull(loss);
        ArgumentOutOfRangeException.ThrowIfLessThan(microBatches, 1);
        _runner.ReadPending();
        return _training.Profile(FunctionOf(loss) with { MicroBatches = microBatches });
    }

    /// <summary>Runs one step.</summary>
    /// <param name="loss">
    /// Runs the model and returns the loss, a scalar, inside the step's scope and autocast. Called once, not at all once
    /// the step is launched as a graph, and a second time in the step that shows that it cannot be captured. Where memory runs
    /// out it is called a few times more, to say what would fit.
    /// </param>
    /// <remarks>What the function throws is thrown on, and leaves no capture under way.</remarks>
    public StepResult Step(Func<Tensor> loss)
    {
        ArgumentNullException.ThrowIfNull(loss);
        return Step(FunctionOf(loss));
    }

    /// <summary>Runs one step with a tensor that may be another one in each step.</summary>
    /// <param name="loss">As in <see cref="Step(Func{Tensor})"/>; takes the input, or the graph's copy of it.</param>
    /// <param name="input">Not changed by the loss function. Each shape gets a graph of its own, of which the four used last are kept.</param>
    public StepResult Step(Func<Tensor, Tensor> loss, Tensor input)
    {
        ArgumentNullException.ThrowIfNull(loss);
        ArgumentNullException.ThrowIfNull(input);
        return Step(new StepFunction(loss, [input], static (function, inputs) => ((Func<Tensor, Tensor>)function)(inputs[0])));
    }

    /// <summary>Runs one step with two tensors that may be other ones in each step.</summary>
    /// <param name="loss">As in <see cref="Step(Func{Tensor})"/>; takes input and target, or the graph's copies of them.</param>
    /// <param name="input">As in <see cref="Step(Func{Tensor, Tensor}, Tensor)"/>.</param>
    /// <param name="target">The same.</param>
    /// <example><code>
    /// foreach (var (x, y) in batches)
    /// {
    ///     trainer.Step((input, target) => Losses.Mse(model.Forward(input), target), x, y);
    /// }
    /// </code></example>
    public StepResult Step(Func<Tensor, Tensor, Tensor> loss, Tensor input, Tensor target)
    {
        ArgumentNullException.ThrowIfNull(loss);
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(target);
        return Step(FunctionOf(loss, input, target));
    }

    /// <summary>Runs one step with tensors that may be other ones in each step.</summary>
    /// <param name="loss">As in <see cref="Step(Func{Tensor})"/>; takes the inputs, or the graph's copies of them.</param>
    /// <param name="inputs">As in <see cref="Step(Func{Tensor, Tensor}, Tensor)"/>.</param>
    public StepResult Step(Func<IReadOnlyList<Tensor>, Tensor> loss, IReadOnlyList<Tensor> inputs)
    {
        ArgumentNullException.ThrowIfNull(loss);
        return Step(FunctionOf(loss, inputs));
    }

    /// <summary>
    /// Runs one step on several micro-batches: their gradients are accumulated, so that they are those of the mean of the
    /// losses, at one loss scale, and the optimizer steps once. Inf or NaN in one of them skips the step of all.
    /// </summary>
    /// <param name="loss">As in <see cref="Step(Func{Tensor, Tensor, Tensor}, Tensor, Tensor)"/>, called for each.</param>
    /// <param name="microBatches">Inputs and targets, at least one pair; where they differ in size, each loss counts alike.</param>
    public StepResult Step(Func<Tensor, Tensor, Tensor> loss, IReadOnlyList<(Tensor Input, Tensor Target)> microBatches)
    {
        ArgumentNullException.ThrowIfNull(loss);
        ArgumentNullException.ThrowIfNull(microBatches);
        ArgumentOutOfRangeException.ThrowIfZero(microBatches.Count, nameof(microBatches));
        return Step(Together([.. microBatches.Select(batch => FunctionOf(loss, batch.Input, batch.Target))]));
    }

    /// <summary>Runs steps on the same loss function.</summary>
    /// <param name="loss">As in <see cref="Step(Func{Tensor})"/>.</param>
    /// <param name="steps">Number of steps.</param>
    /// <param name="progress">Told of each step after it is done, on this thread.</param>
    /// <param name="cancellationToken">Ends the run after the step in progress; what was done is returned.</param>
    public TrainingHistory Run(Func<Tensor> loss, int steps, IProgress<StepResult>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(loss);
        ArgumentOutOfRangeException.ThrowIfNegative(steps);
        return Run(Enumerable.Repeat(FunctionOf(loss), steps), progress, cancellationToken);
    }

    /// <summary>Runs a step for each batch, or for as many as <see cref="TrainerOptions.MicroBatches"/> says.</summary>
    /// <param name="loss">As in <see cref="Step(Func{Tensor, Tensor, Tensor}, Tensor, Tensor)"/>.</param>
    /// <param name="batches">Inputs and targets. What the enumeration makes is its maker's to free.</param>
    /// <param name="progress">Told of each step after it is done, on this thread.</param>
    /// <param name="cancellationToken">Ends the run after the step in progress; what was done is returned.</param>
    public TrainingHistory Run(
        Func<Tensor, Tensor, Tensor> loss,
        IEnumerable<(Tensor Input, Tensor Target)> batches,
        IProgress<StepResult>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(loss);
        ArgumentNullException.ThrowIfNull(batches);
        return Run(Accumulated(batches.Select(batch => FunctionOf(loss, batch.Input, batch.Target))), progress, cancellationToken);
    }

    /// <summary>Runs a step for each batch, or for as many as <see cref="TrainerOptions.MicroBatches"/> says.</summary>
    /// <param name="loss">As in <see cref="Step(Func{IReadOnlyList{Tensor}, Tensor}, IReadOnlyList{Tensor})"/>.</param>
    /// <param name="batches">Inputs. What the enumeration makes is its maker's to free.</param>
    /// <param name="progress">Told of each step after it is done, on this thread.</param>
    /// <param name="cancellationToken">Ends the run after the step in progress; what was done is returned.</param>
    public TrainingHistory Run(
        Func<IReadOnlyList<Tensor>, Tensor> loss,
        IEnumerable<IReadOnlyList<Tensor>> batches,
        IProgress<StepResult>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(loss);
        ArgumentNullException.ThrowIfNull(batches);
        return Run(Accumulated(batches.Select(batch => FunctionOf(loss, batch))), progress, cancellationToken);
    }

    /// <summary>Frees the graphs. The optimizer and the scaler are their owner's.</summary>
    public void Dispose()
    {
        _runner.Dispose();
        _training.Dispose();
    }

    private static StepFunction FunctionOf(Func<Tensor> loss) => new(loss, [], static (function, _) => ((Func<Tensor>)function)());

    private static StepFunction FunctionOf(Func<Tensor, Tensor, Tensor> loss, Tensor input, Tensor target)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(target);
        return new StepFunction(loss, [input, target], static (function, inputs) => ((Func<Tensor, Tensor, Tensor>)function)(inputs[0], inputs[1]));
    }

    private static StepFunction FunctionOf(Func<IReadOnlyList<Tensor>, Tensor> loss, IReadOnlyList<Tensor> inputs)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        foreach (var input in inputs)
        {
            ArgumentNullException.ThrowIfNull(input, nameof(inputs));
        }

        return new StepFunction(loss, inputs, static (function, inputs) => ((Func<IReadOnlyList<Tensor>, Tensor>)function)(inputs));
    }

    /// <summary>One function that accumulates the gradients of several, which differ in their inputs alone.</summary>
    private static StepFunction Together(IReadOnlyList<StepFunction> functions)
    {
        int inputs = functions[0].Inputs.Count;
        return functions.All(function => function.Inputs.Count == inputs)
            ? functions[0] with { Inputs = [.. functions.SelectMany(function => function.Inputs)], MicroBatches = functions.Count }
            : throw new ArgumentException("The micro-batches of a step differ in their number of tensors.");
    }

    /// <summary>The steps of batches: the last one may have fewer than the others.</summary>
    private IEnumerable<StepFunction> Accumulated(IEnumerable<StepFunction> batches) =>
        _options.MicroBatches == 1 ? batches : batches.Chunk(_options.MicroBatches).Select(Together);

    private TrainingHistory Run(IEnumerable<StepFunction> functions, IProgress<StepResult>? progress, CancellationToken cancellationToken)
    {
        var results = new List<StepResult>();
        int readEvery = _options.RetriesOnOverflow > 0 ? 1 : _options.ReadEvery ?? (progress is null ? DefaultReadEvery : 1);
        bool cancelled = false;
        long start = Stopwatch.GetTimestamp();
        try
        {
            // Asked before a batch is taken: one that was taken and not trained on would be missed when the run is resumed.
            using var steps = functions.GetEnumerator();
            while (!(cancelled = cancellationToken.IsCancellationRequested) && steps.MoveNext())
            {
                RunStep(steps.Current, readEvery, Receive);
                SaveIfDue();
            }
        }
        finally
        {
            _runner.ReadPending();
        }

        var elapsed = Stopwatch.GetElapsedTime(start);
        if (_options.SaveFolder is { } folder && results.Count > 0 && _savedAt != StepsDone)
        {
            Save(folder);
        }

        cancelled = cancelled && !(functions.TryGetNonEnumeratedCount(out int count) && count == results.Count);
        return new TrainingHistory(results, elapsed, cancelled);

        void Receive(StepResult result)
        {
            Report(result);
            results.Add(result);
            progress?.Report(result);
            ThrowWhereOver(result);
        }
    }

    /// <summary>Runs a step; where memory runs out, says what would fit.</summary>
    private void RunStep(StepFunction function, int readEvery, Action<StepResult> report)
    {
        bool isOver = false;
        try
        {
            _runner.Run(function, readEvery, result =>
            {
                isOver = true; // what the receiver does is no part of the step
                report(result);
                isOver = false;
            });
        }
        catch (MezzoException exception) when (exception.Status == MezzoStatus.OutOfMemory && !isOver)
        {
            throw new MezzoException(exception.Status, exception.Message + OutOfMemoryAdvice.For(_training, function), exception);
        }
    }

    private StepResult Step(StepFunction function)
    {
        StepResult received = default;
        RunStep(function, readEvery: 1, result => received = result);
        Report(received);
        ThrowWhereOver(received);
        SaveIfDue();
        return received;
    }

    /// <summary>Throws where a step's result is an error, once it has been reported.</summary>
    private static void ThrowWhereOver(StepResult result)
    {
        if (result.Reason == SkipReason.ScaleAtMinimum)
        {
            throw new MinimumLossScaleException();
        }
    }

    private void Report(StepResult result)
    {
        TrainingMetrics.Record(result);
        if (result.Outcome == StepOutcome.Skipped)
        {
            var gradients = result.Gradients ?? default;
            LogSkipped(_options.Logger, result.Step, result.Reason, result.Loss, result.Scale, gradients.FirstNonFinite ?? "none", gradients.Infs, gradients.NaNs);
        }

        if (_options.LogEvery > 0 && result.Step % _options.LogEvery == 0)
        {
            LogLoss(_options.Logger, result.Step, result.Loss, result.Scale);
        }
    }

    [LoggerMessage(EventId = 1, EventName = "Loss", Level = LogLevel.Information, Message = "step {Step}: loss {Loss}, scale {Scale}")]
    private static partial void LogLoss(ILogger logger, long step, double loss, double scale);

    [LoggerMessage(EventId = 2, EventName = "StepSkipped", Level = LogLevel.Warning, Message = "step {Step} skipped: {Reason}, loss {Loss}, scale {Scale}; first in {Parameter}, {Infs} Inf and {NaNs} NaN in all")]
    private static partial void LogSkipped(ILogger logger, long step, SkipReason reason, double loss, double scale, string parameter, long infs, long naNs);
}
