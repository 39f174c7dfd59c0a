// SPDX-License-Identifier: MIT
using Mezzo.Cli.CommandLine;
using Mezzo.Cli.Jobs.Checkpointing;
using Mezzo.Cli.Report;

namespace Mezzo.Cli.Jobs.SinCos.Plan;

/// <summary>Measures a step of the sin/cos network, and says what checkpointing makes of it.</summary>
/// <param name="options">What to plan for, in one precision.</param>
/// <param name="budget">Bytes that the step may take, and how they were typed; null for the best of a plan's usual trade.</param>
internal sealed class SinCosPlanJob(SinCosOptions options, (long Bytes, string Text)? budget)
{
    /// <summary>Most extra time of the plan that is chosen without a budget.</summary>
    public const double UsualExtraTime = 0.25;

    public SinCosPlanResult Run()
    {
        using var scope = TensorScope.Begin();
        using var setup = new SinCosSetup(options, options.Runs()[0]);
        using var trainer = new Trainer(
            setup.Optimizer, new TrainerOptions { Precision = setup.Model.Options.Precision, Scaler = setup.Model.Scaler, Capture = CaptureMode.Off, LogEvery = 0 });
        var step = trainer.Profile(() => setup.Loss(setup.Data.Parts(1)[0]));
        var curve = step.Curve.Select(PlannedStep.Of).ToArray();
        var (chosen, reason) = Choose(step, curve);
        return new SinCosPlanResult(options, Runtime.Threads, step.FitsKeepingAll, PlannedStep.Of(step.KeepingAll), curve, chosen, reason);
    }

    private (PlannedStep Chosen, string Reason) Choose(CheckpointProfile step, PlannedStep[] curve)
    {
        if (budget is not var (bytes, text))
        {
            var usual = Array.Find(curve, plan => plan.ExtraTime <= UsualExtraTime);
            return (usual ?? curve[^1], usual is null ? "the fastest" : "the fewest bytes for at most 25% more time");
        }

        return step.WillFit(bytes)
            ? (PlannedStep.Of(step.ForBudget(bytes)), $"the fastest within the budget of {text}, {Format.Bytes(bytes)}")
            : throw new CommandException(
                $"--budget: got {text}, expected at least {ByteSize.RoundedUp(step.Smallest().PredictedPeakBytes)}, the least that a step in {options.Runs()[0].ShortName()} can do with");
    }
}
