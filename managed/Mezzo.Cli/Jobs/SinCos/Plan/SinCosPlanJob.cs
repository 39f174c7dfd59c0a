// SPDX-License-Identifier: MIT
using Mezzo.Cli.CommandLine;
using Mezzo.Cli.Jobs.Checkpointing;

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
        Tensor Loss(int parts) => setup.Loss(setup.Data.Parts(parts)[^1]);
        var step = StepMeasurement.Of(trainer, options.Device, Loss, options.Samples);
        var curve = step.Curve.Select(step.Predict).ToArray();
        var (chosen, reason) = Choose(step, curve);
        var (peak, activations) = Uncheckpointed(trainer, () => Loss(step.Parts));
        double seconds = curve[^1].Seconds - curve[^1].RecomputeSeconds;
        return new SinCosPlanResult(
            options,
            Runtime.Threads,
            step.Parts,
            new PlannedStep(step.WholePeak(peak), activations * step.Parts, seconds, 0, 0),
            curve,
            chosen,
            reason);
    }

    private (PlannedStep Chosen, string Reason) Choose(StepMeasurement step, PlannedStep[] curve)
    {
        if (budget is not var (bytes, text))
        {
            var usual = Array.Find(curve, plan => plan.ExtraTime <= UsualExtraTime);
            return (usual ?? curve[^1], usual is null ? "the fastest" : "the fewest bytes for at most 25% more time");
        }

        return step.FastestWithin(bytes) is { } plan
            ? (step.Predict(plan), $"the fastest within the budget of {text}")
            : throw new CommandException(
                $"--budget: got {text}, expected at least {ByteSize.RoundedUp(step.SmallestBytes)}, the least that a step in {options.Runs()[0].ShortName()} can do with");
    }

    /// <summary>What an ordinary step takes, which no plan tells: also one that drops nothing else drops what costs next to nothing.</summary>
    private (long Peak, long Activations) Uncheckpointed(Trainer trainer, Func<Tensor> loss)
    {
        long activations = 0;
        options.Device.ResetPeakMemory();
        trainer.Step(() =>
        {
            long before = options.Device.Memory.CurrentBytes;
            var result = loss();
            activations = options.Device.Memory.CurrentBytes - before;
            return result;
        });
        return (options.Device.Memory.PeakBytes, activations);
    }
}
