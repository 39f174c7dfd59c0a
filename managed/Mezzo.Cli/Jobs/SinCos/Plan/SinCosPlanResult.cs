// SPDX-License-Identifier: MIT
using Mezzo.Cli.Jobs.Checkpointing;

namespace Mezzo.Cli.Jobs.SinCos.Plan;

/// <summary>What planning found.</summary>
/// <param name="Options">What was planned for.</param>
/// <param name="Threads">Threads of the CPU path.</param>
/// <param name="Fits">Whether a step that keeps all activations fitted into memory.</param>
/// <param name="Uncheckpointed">The step that keeps all activations, as predicted from its ops.</param>
/// <param name="Curve">Plans among which none is better in both bytes and time, from the fewest bytes to the most.</param>
/// <param name="Chosen">One of them.</param>
/// <param name="Reason">Why that one: ends the sentence "chosen: ...".</param>
internal sealed record SinCosPlanResult(
    SinCosOptions Options, int Threads, bool Fits, PlannedStep Uncheckpointed, IReadOnlyList<PlannedStep> Curve, PlannedStep Chosen, string Reason)
{
    public string Precision => Options.Runs()[0].ShortName();

    /// <summary>A plan's peak as a part of that of the step that keeps all.</summary>
    public double PeakShare(PlannedStep step) => (double)step.PeakBytes / Uncheckpointed.PeakBytes;

    /// <summary>A plan's activations as a part of all.</summary>
    public double ActivationShare(PlannedStep step) => (double)step.ActivationBytes / Uncheckpointed.ActivationBytes;
}
