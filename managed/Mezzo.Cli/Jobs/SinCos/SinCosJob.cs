// SPDX-License-Identifier: MIT
using Mezzo.Cli.CommandLine;
using Mezzo.Cli.Jobs.Checkpointing;
using Mezzo.Cli.Terminal;
using Microsoft.Extensions.Logging;

namespace Mezzo.Cli.Jobs.SinCos;

/// <summary>
/// Trains the sin/cos network once in each precision, from the same data and the same initial parameters,
/// and measures time, losses and memory.
/// </summary>
internal sealed class SinCosJob(SinCosOptions options, ITrainingView view, ILogger log)
{
    private const int PredictionCount = 401;
    private const int EpochsPerReading = 20; // as many as there are between two lines on the terminal
    private SinCosPoints? _points;

    /// <summary>Runs to the end, or until cancelled; what was measured until then is returned.</summary>
    public SinCosResult Run(CancellationToken cancellationToken)
    {
        var runs = new List<SinCosRun>();
        foreach (var precision in options.Runs())
        {
            if (runs.Count == 0 || !cancellationToken.IsCancellationRequested)
            {
                runs.Add(Train(precision, cancellationToken));
            }
        }

        bool interrupted = runs.Count < options.Runs().Count || runs.Exists(run => run.Steps.Count < options.Epochs);
        return new SinCosResult(options, Runtime.Threads, _points!, runs, interrupted);
    }

    private SinCosRun Train(Precision precision, CancellationToken cancellationToken)
    {
        options.Device.ResetPeakMemory();

        using var scope = TensorScope.Begin();
        using var setup = new SinCosSetup(options, precision);
        var (data, model) = (setup.Data, setup.Model);
        var history = new SinCosHistory(options.Device);
        using var trainer = new Trainer(
            setup.Optimizer,
            new TrainerOptions
            {
                Precision = model.Options.Precision,
                Scaler = model.Scaler,
                Capture = options.Capture,
                ReadEvery = EpochsPerReading,
                MicroBatches = options.Accumulate,
                Logger = log,
                Model = setup.Net,
                SaveFolder = options.Saving.FolderOf(precision.ShortName()),
                SaveEvery = options.Saving.Every,
                SavedParts = [("options", new SinCosIdentity(options, options.Saving.From)), ("history", history)],
            });

        int done = Resume(trainer, precision);
        var planned = Plan(trainer, setup, precision);
        history.Start(view.BeginRun(precision.ShortName(), options.Epochs, done));
        var ran = options.Accumulate == 1
            ? trainer.Run(setup.Loss, options.Epochs - done, history, cancellationToken)
            : trainer.Run(
                setup.Loss,
                Enumerable.Repeat(data.Parts(options.Accumulate), options.Epochs - done).SelectMany(parts => parts),
                history,
                cancellationToken);

        long peak = history.PeakBytes;
        _points ??= new SinCosPoints(data.XValues, data.SinValues, data.CosValues);
        return new SinCosRun(precision, Scaling(model), history.Steps, history.Elapsed(ran.Elapsed), peak, trainer.CaptureStatus, Predict(model), planned);
    }

    /// <summary>Goes on from what was saved of a run, if anything was.</summary>
    /// <returns>Epochs that are done.</returns>
    private int Resume(Trainer trainer, Precision precision)
    {
        if (options.Saving.FromOf(precision.ShortName()) is not { } from)
        {
            return 0;
        }

        try
        {
            trainer.Resume(from);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"--resume: cannot read {from}: {exception.Message}", ExitCode.Failure);
        }

        return trainer.StepsDone <= options.Epochs
            ? (int)trainer.StepsDone
            : throw new CommandException($"--epochs: got {options.Epochs}, expected at least the {trainer.StepsDone} that the run in {from} has done");
    }

    /// <summary>Has the trainer compute activations once more, as was asked for.</summary>
    /// <returns>What a step is predicted to take; null where all activations are kept.</returns>
    private PlannedStep? Plan(Trainer trainer, SinCosSetup setup, Precision precision)
    {
        if (options.Checkpoint == CheckpointChoice.None)
        {
            return null;
        }

        // The last micro-batch is the largest.
        var step = trainer.Profile(() => setup.Loss(setup.Data.Parts(options.Accumulate)[^1]), options.Accumulate);
        options.Device.TrimMemory();
        trainer.CheckpointPlan = options.Checkpoint.PlanFor(step, precision.ShortName(), options.Device.ReachableMemory);

        // What measuring took is not the run's.
        options.Device.ResetPeakMemory();
        return trainer.CheckpointPlan is { } plan ? PlannedStep.Of(plan) : null;
    }

    private LossScaling Scaling(AmpModel<Tensor, (Tensor Sin, Tensor Cos)> model) =>
        !model.Scaler.Policy.IsStatic ? LossScaling.Dynamic
        : model.Options.Level != OptLevel.O0 && options.LossScale is not null ? LossScaling.Static
        : LossScaling.None;

    private SinCosPoints Predict(Module<Tensor, (Tensor Sin, Tensor Cos)> net)
    {
        using var scope = TensorScope.Begin();
        using var noGrad = NoGrad.Enter();
        double[] x = SinCosData.Spaced(PredictionCount);
        var (sin, cos) = net.Forward(SinCosData.Column(Array.ConvertAll(x, value => (float)value), options.Device));
        return new SinCosPoints(x, sin.ToArray<double>(), cos.ToArray<double>());
    }
}
