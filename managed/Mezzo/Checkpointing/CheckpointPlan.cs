// SPDX-License-Identifier: MIT
using System.Globalization;
using Mezzo.Checkpointing;

namespace Mezzo;

/// <summary>
/// Which activations of a training step are kept and which are computed once more, and what that takes. Given to a
/// <see cref="Trainer"/>, or entered around forward passes of one's own.
/// </summary>
/// <remarks>
/// It is a plan for the step that was measured. A step with other ops is computed right too, but keeps what it has not
/// dropped when the first op differs. Other sizes of the same ops take other bytes than predicted. To read the output of a ReLU, of
/// which the plan keeps the signs alone, at a point where the measured step did not is an error: <see cref="Tensor.Keep"/> it.
/// </remarks>
/// <example><code>
/// var plan = CheckpointProfile.Measure(() => Losses.Mse(model.Forward(x), y)).ForBudget(64_000_000);
/// Tensor loss;
/// using (plan.Enter())
/// {
///     loss = Losses.Mse(model.Forward(x), y);
/// }
///
/// loss.Backward();
/// </code></example>
public sealed class CheckpointPlan
{
    private readonly TapeRecord _record;
    private readonly TapeSchedule _schedule;

    internal CheckpointPlan(TapeRecord record, TapeSchedule schedule)
    {
        (_record, _schedule) = (record, schedule);
        (PredictedPeakBytes, PredictedActivationBytes, RecomputeSeconds, WaitSeconds) = TapeSimulator.Run(record, schedule);
    }

    /// <summary>Most bytes of the device's memory that are in use at any time of a step, with those before it.</summary>
    public long PredictedPeakBytes { get; }

    /// <summary>Bytes that the forward pass leaves for the backward pass.</summary>
    public long PredictedActivationBytes { get; }

    /// <summary>Seconds of forward and backward pass.</summary>
    public double PredictedSeconds => _record.Seconds + RecomputeSeconds + WaitSeconds;

    /// <summary>How much longer that is than without computing anything once more, or waiting for copies: 0.25 is a quarter.</summary>
    public double ExtraTime => _record.Seconds > 0 ? (RecomputeSeconds + WaitSeconds) / _record.Seconds : 0;

    /// <summary>Seconds of it for what is computed once more, and for masks of ReLUs.</summary>
    public double RecomputeSeconds { get; }

    /// <summary>Seconds of it in which the device waits for copies to host memory and back.</summary>
    public double WaitSeconds { get; }

    /// <summary>Bytes of activations that are kept in host memory, on devices with memory of their own.</summary>
    public long OffloadedBytes => _schedule.OffloadedBytes;

    /// <summary>Number of regions that are computed once more, those inside others included; ops that are dropped alone are not counted.</summary>
    public int Regions => _schedule.DroppingRegions;

    /// <summary>
    /// How the ops of the latest forward pass under the plan differed from those that were measured, in name or number; null if they
    /// did not. Other shapes are not told apart.
    /// </summary>
    public string? Difference { get; private set; }

    /// <summary>
    /// <see cref="CheckpointProfile.ForBudget"/> of a model that is measured for it, with the sum of its outputs as loss: what another
    /// loss takes, and states of an optimizer that is not there yet, are not in the bytes.
    /// </summary>
    public static CheckpointPlan ForBudget<TInput, TOutput>(Module<TInput, TOutput> model, TInput sample, long bytes, Device? device = null) =>
        CheckpointProfile.Measure(model, sample, device).ForBudget(bytes);

    /// <summary>What may be copied to the host of what the plan keeps.</summary>
    internal OffloadChoices OffloadChoices(CopySpeed speed) => new(_record, _schedule, speed);

    /// <summary>The same plan with copies to the host.</summary>
    /// <param name="offloads">In order of the last use.</param>
    internal CheckpointPlan With(IReadOnlyList<Offload> offloads) => new(_record, _schedule.With(_record, offloads));

    /// <summary>Plans the forward pass that runs until the result is disposed of.</summary>
    public IDisposable Enter() => new PlannedRun(_record, _schedule, difference => Difference = difference).Begin();

    /// <inheritdoc/>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Regions} regions, {OffloadedBytes} bytes on the host, {PredictedPeakBytes} bytes at most, {RecomputeSeconds + WaitSeconds:g3} s more than {_record.Seconds:g3} s");
}
