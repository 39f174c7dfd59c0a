// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// What a learning rate is multiplied by as training goes on. A schedule holds no state: it is a function of the number
/// of steps before, which the optimizer counts on the device, so that a skipped step does not move it on unless
/// <see cref="ScheduleSteps.All"/> is asked for.
/// </summary>
/// <example><code>
/// optimizer.Schedule = new WarmupLinearSchedule(totalSteps: 1000, warmup: 0.1);
/// </code></example>
public abstract record LearningRateSchedule
{
    /// <summary>The factor of the learning rate of a step.</summary>
    /// <param name="step">Number of steps before it, from 0. Steps are asked for ahead, also such as are never run.</param>
    public abstract double Factor(long step);

    /// <summary>A number of steps that must be at least so large.</summary>
    private protected static long Steps(long value, long least, string name) =>
        value >= least ? value : throw new ArgumentOutOfRangeException(name, value, $"Invalid {name}: expected at least {least}.");
}
