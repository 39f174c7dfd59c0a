// SPDX-License-Identifier: MIT
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Jobs.Checkpointing;

/// <summary>Which activations are to be computed once more, as it was asked for.</summary>
/// <param name="text">As it was typed.</param>
internal abstract class CheckpointChoice(string text)
{
    /// <summary>None: all are kept.</summary>
    public static CheckpointChoice None { get; } = new Nothing();

    /// <summary>None if the step then fits the memory, else as few as it takes to fit.</summary>
    public static CheckpointChoice Auto { get; } = new Automatic();

    /// <summary>Those of all but the last of so many segments of about the same bytes.</summary>
    public static CheckpointChoice Segments(int count) => new Segmented(count);

    /// <summary>As few as it takes for a step of at most so many bytes.</summary>
    /// <param name="bytes">The bytes.</param>
    /// <param name="text">The same as it was typed.</param>
    public static CheckpointChoice Budget(long bytes, string text) => new Budgeted(bytes, text);

    /// <summary>The plan for a step; null for none.</summary>
    /// <param name="step">The step, as it was measured.</param>
    /// <param name="run">Name of the run, for messages.</param>
    /// <param name="freeBytes">Bytes of the device that are free, with those that the run has taken already.</param>
    /// <exception cref="CommandException">There is no such plan.</exception>
    public abstract CheckpointPlan? PlanFor(CheckpointProfile step, string run, long freeBytes);

    /// <inheritdoc/>
    public override string ToString() => text;

    protected CommandException Refused(string expected) => new($"--checkpoint: got {text}, expected {expected}");

    private sealed class Nothing() : CheckpointChoice("none")
    {
        public override CheckpointPlan? PlanFor(CheckpointProfile step, string run, long freeBytes) => null;
    }

    private sealed class Segmented(int count) : CheckpointChoice(FormattableString.Invariant($"segments={count}"))
    {
        public override CheckpointPlan PlanFor(CheckpointProfile step, string run, long freeBytes) => count <= step.MaxSegments
            ? step.ForSegments(count)
            : throw Refused($"segments=1 to segments={step.MaxSegments}, one more than the places that a step in {run} is cut at");
    }

    private sealed class Budgeted(long bytes, string text) : CheckpointChoice($"budget={text}")
    {
        public override CheckpointPlan PlanFor(CheckpointProfile step, string run, long freeBytes) =>
            step.WillFit(bytes)
                ? step.ForBudget(bytes)
                : throw Refused($"at least budget={ByteSize.RoundedUp(step.Smallest().PredictedPeakBytes)}, the least that a step in {run} can do with");
    }

    private sealed class Automatic() : CheckpointChoice("auto")
    {
        public override CheckpointPlan? PlanFor(CheckpointProfile step, string run, long freeBytes)
        {
            if (step.FitsKeepingAll)
            {
                return null;
            }

            return step.WillFit(freeBytes)
                ? step.ForBudget(freeBytes)
                : throw Refused($"a step that fits the {ByteSize.RoundedUp(freeBytes)} that are free: in {run} it takes at least {ByteSize.RoundedUp(step.Smallest().PredictedPeakBytes)}");
        }
    }
}
