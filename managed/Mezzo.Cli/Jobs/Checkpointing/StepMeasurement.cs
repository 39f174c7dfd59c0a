// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Jobs.Checkpointing;

/// <summary>
/// What a training step takes, and the plans that follow from it. It is measured without checkpointing: where memory does not
/// suffice for that, on a part of the samples, and what the whole step takes follows in proportion.
/// </summary>
/// <remarks>
/// In proportion means rather too many bytes: the gradients of parameters and scratch memory count as if they grew with the
/// samples, too.
/// </remarks>
internal sealed class StepMeasurement
{
    private readonly CheckpointProfile _profile;
    private readonly long _bytesBefore;
    private readonly long _otherBytes;

    private StepMeasurement(CheckpointProfile profile, int parts, long bytesBefore, long otherBytes) =>
        (_profile, Parts, _bytesBefore, _otherBytes) = (profile, parts, bytesBefore, otherBytes);

    /// <summary>The part of the samples that was measured is one of so many; 1 where the whole step was, and so fits the memory.</summary>
    public int Parts { get; }

    /// <summary>The plans among which none is better in both bytes and time, from the fewest bytes to the most.</summary>
    public IReadOnlyList<CheckpointPlan> Curve => _profile.Curve;

    /// <summary>Fewest bytes that the step can do with.</summary>
    public long SmallestBytes => Predict(_profile.Smallest()).PeakBytes;

    /// <summary>Measures a step, and changes nothing.</summary>
    /// <param name="trainer">What is to run it.</param>
    /// <param name="device">Where it runs.</param>
    /// <param name="loss">Returns the loss on one of so many parts of the samples.</param>
    /// <param name="samples">Number of samples of the whole step.</param>
    /// <param name="otherBytes">Bytes that will be live besides, such as gradients of earlier micro-batches.</param>
    public static StepMeasurement Of(Trainer trainer, Device device, Func<int, Tensor> loss, int samples, long otherBytes = 0)
    {
        for (int parts = 1; ; parts *= 2)
        {
            try
            {
                return new StepMeasurement(trainer.Profile(() => loss(parts)), parts, device.Memory.CurrentBytes, otherBytes);
            }
            catch (MezzoException exception) when (exception.Status == MezzoStatus.OutOfMemory && parts <= samples / 2)
            {
                device.TrimMemory();
            }
        }
    }

    /// <summary>What the whole step takes under a plan.</summary>
    public PlannedStep Predict(CheckpointPlan plan) => new(
        WholePeak(plan.PredictedPeakBytes), plan.PredictedActivationBytes * Parts, plan.PredictedSeconds * Parts, plan.RecomputeSeconds * Parts, plan.Regions);

    /// <summary>The peak of the whole step for that of the part that was measured.</summary>
    public long WholePeak(long bytes) => _otherBytes + _bytesBefore + ((bytes - _bytesBefore) * Parts);

    /// <summary>The fastest plan that takes no more than so many bytes; null where there is none.</summary>
    public CheckpointPlan? FastestWithin(long bytes) => _profile.Curve.LastOrDefault(plan => Predict(plan).PeakBytes <= bytes);

    /// <summary>The plan of so many segments of about the same bytes; null where the step has not as many places to cut it at.</summary>
    public CheckpointPlan? InSegments(int count)
    {
        try
        {
            return _profile.ForSegments(count);
        }
        catch (ArgumentOutOfRangeException)
        {
            return null;
        }
    }
}
