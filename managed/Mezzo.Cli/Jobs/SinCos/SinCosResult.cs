// SPDX-License-Identifier: MIT
using Mezzo.Cli.Jobs.Checkpointing;

namespace Mezzo.Cli.Jobs.SinCos;

/// <summary>Values at some x: the data, or what a network predicts.</summary>
internal sealed record SinCosPoints(IReadOnlyList<double> X, IReadOnlyList<double> Sin, IReadOnlyList<double> Cos);

/// <summary>How a run scaled its loss.</summary>
internal enum LossScaling
{
    None,
    Dynamic,
    Static,
}

/// <summary>What was measured of one run.</summary>
/// <param name="Precision">In which precision.</param>
/// <param name="Scaling">How the loss was scaled.</param>
/// <param name="Steps">Every epoch that was run.</param>
/// <param name="Elapsed">Time of the training loop alone.</param>
/// <param name="PeakBytes">Most bytes of tensors and graphs at any time.</param>
/// <param name="Capture">How the last step ran.</param>
/// <param name="Prediction">The trained network's outputs at evenly spaced x.</param>
/// <param name="Planned">What a step was predicted to take where activations are computed once more; null where all are kept.</param>
internal sealed record SinCosRun(
    Precision Precision,
    LossScaling Scaling,
    IReadOnlyList<StepResult> Steps,
    TimeSpan Elapsed,
    long PeakBytes,
    CaptureStatus Capture,
    SinCosPoints Prediction,
    PlannedStep? Planned = null)
{
    public string Name => Precision.ShortName();

    public double Seconds => Elapsed.TotalSeconds;

    /// <summary>The steps that were skipped.</summary>
    public IReadOnlyList<StepResult> Skips { get; } = [.. Steps.Where(step => step.Outcome == StepOutcome.Skipped)];

    public int SkippedSteps => Skips.Count;

    /// <summary>Whether the steps ended up as launches of a graph.</summary>
    public bool IsCaptured => Capture.State == CaptureState.Launching;

    public IReadOnlyList<double> Losses { get; } = [.. Steps.Select(step => step.Loss)];

    public IReadOnlyList<double> Scales { get; } = [.. Steps.Select(step => step.Scale)];

    /// <summary>The norms of all gradients without the loss scale.</summary>
    public IReadOnlyList<double> GradNorms { get; } = [.. Steps.Select(step => step.Gradients?.Norm ?? double.NaN)];

    /// <summary>e of the largest gradient, of 2^e and more, as it came, with the loss scale; NaN where there was none.</summary>
    public IReadOnlyList<double> LargestExponents { get; } = [.. Steps.Select(step => step.Gradients?.LargestExponent ?? double.NaN)];

    /// <summary>The smallest finite loss; NaN when there is none.</summary>
    public double SmallestLoss => Losses.Where(double.IsFinite).DefaultIfEmpty(double.NaN).Min();

    /// <summary>The first epoch whose loss was not a finite number.</summary>
    public StepResult? FirstNonFinite
    {
        get
        {
            int index = Losses.TakeWhile(double.IsFinite).Count();
            return index < Steps.Count ? Steps[index] : null;
        }
    }
}

/// <summary>What the job measured.</summary>
/// <param name="Options">What it was asked for.</param>
/// <param name="Threads">Threads of the CPU path.</param>
/// <param name="Data">What it learnt from, in random order.</param>
/// <param name="Runs">The runs in order, those that were begun.</param>
/// <param name="Interrupted">Whether it was stopped before its end.</param>
internal sealed record SinCosResult(
    SinCosOptions Options, int Threads, SinCosPoints Data, IReadOnlyList<SinCosRun> Runs, bool Interrupted)
{
    /// <summary>The first run's time over the second's. Runs that were stopped early have nothing to compare.</summary>
    public double? Speedup => !Interrupted && Runs.Count == 2 && Runs[1].Seconds > 0 ? Runs[0].Seconds / Runs[1].Seconds : null;
}
