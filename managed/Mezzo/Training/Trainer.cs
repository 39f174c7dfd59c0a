// SPDX-License-Identifier: MIT
using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace Mezzo;

/// <summary>
/// The training loop: for each step a scope, autocast, the forward pass, the scaled backward pass, the
/// check for Inf and NaN, the optimizer and the update of the loss scale.
/// </summary>
public sealed partial class Trainer
{
    private readonly Optimizer _optimizer;
    private readonly TrainerOptions _options;
    private readonly GradScaler _scaler;
    private long _step;

    /// <summary>Creates a trainer of an optimizer's parameters.</summary>
    public Trainer(Optimizer optimizer, TrainerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        _optimizer = optimizer;
        _options = options ?? new TrainerOptions();
        ArgumentOutOfRangeException.ThrowIfNegative(_options.LogEvery, nameof(options));
        _scaler = _options.Scaler
            ?? (_options.Precision == Precision.Float16 ? new GradScaler(device: optimizer.Device) : GradScaler.Static(1, optimizer.Device));
    }

    /// <summary>The loss scaler in use.</summary>
    public GradScaler Scaler => _scaler;

    /// <summary>Runs one step.</summary>
    /// <param name="loss">Runs the model and returns the loss, a scalar. Called once, inside the step's scope and autocast.</param>
    public StepResult Step(Func<Tensor> loss)
    {
        ArgumentNullException.ThrowIfNull(loss);
        using var scope = TensorScope.Begin();
        _optimizer.ZeroGrad();
        var value = Forward(loss);
        _scaler.Scale(value).Backward();
        var stepped = _scaler.Step(_optimizer);
        _scaler.Update();
        var result = new StepResult(_step++, stepped.Outcome, stepped.Reason, stepped.Scale, value.Item());
        Report(result);
        return result;
    }

    /// <summary>Runs steps on the same loss function.</summary>
    /// <param name="loss">As in <see cref="Step"/>; called once a step.</param>
    /// <param name="steps">Number of steps.</param>
    /// <param name="progress">Told of each step after it is done, on this thread.</param>
    /// <param name="cancellationToken">Ends the run after the step in progress; what was done is returned.</param>
    public TrainingHistory Run(Func<Tensor> loss, int steps, IProgress<StepResult>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(steps);
        var results = new List<StepResult>();
        long start = Stopwatch.GetTimestamp();
        while (results.Count < steps && !cancellationToken.IsCancellationRequested)
        {
            var result = Step(loss);
            results.Add(result);
            progress?.Report(result);
        }

        return new TrainingHistory(results, Stopwatch.GetElapsedTime(start), cancelled: results.Count < steps);
    }

    private Tensor Forward(Func<Tensor> loss)
    {
        using var autocast = Autocast.Enable(_options.Precision);
        return loss() ?? throw new InvalidOperationException("The loss function returned null, expected a scalar tensor.");
    }

    private void Report(StepResult result)
    {
        if (result.Outcome == StepOutcome.Skipped)
        {
            LogSkipped(_options.Logger, result.Step, result.Reason, result.Loss, result.Scale);
        }

        if (_options.LogEvery > 0 && result.Step % _options.LogEvery == 0)
        {
            LogLoss(_options.Logger, result.Step, result.Loss, result.Scale);
        }
    }

    [LoggerMessage(EventId = 1, EventName = "Loss", Level = LogLevel.Information, Message = "step {Step}: loss {Loss}, scale {Scale}")]
    private static partial void LogLoss(ILogger logger, long step, double loss, double scale);

    [LoggerMessage(EventId = 2, EventName = "StepSkipped", Level = LogLevel.Warning, Message = "step {Step} skipped: {Reason}, loss {Loss}, scale {Scale}")]
    private static partial void LogSkipped(ILogger logger, long step, SkipReason reason, double loss, double scale);
}
