// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>What a run of training steps did.</summary>
public sealed class TrainingHistory
{
    internal TrainingHistory(IReadOnlyList<StepResult> steps, TimeSpan elapsed, bool cancelled)
    {
        (Steps, Elapsed, Cancelled) = (steps, elapsed, cancelled);
        Losses = [.. steps.Select(step => step.Loss)];
        SkippedSteps = steps.Count(step => step.Outcome == StepOutcome.Skipped);
    }

    /// <summary>The steps in order.</summary>
    public IReadOnlyList<StepResult> Steps { get; }

    /// <summary>The loss of each step.</summary>
    public IReadOnlyList<double> Losses { get; }

    /// <summary>Time from the start of the first step to the end of the last.</summary>
    public TimeSpan Elapsed { get; }

    /// <summary>Whether the run was cancelled before its last step. Of a sequence of unknown length nobody asks whether there would have been another.</summary>
    public bool Cancelled { get; }

    /// <summary>Number of steps that left the parameters as they were.</summary>
    public long SkippedSteps { get; }
}
