// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Jobs;

/// <summary>A schedule of the learning rate that can be asked for by name.</summary>
/// <param name="Name">Name on the command line.</param>
/// <param name="Create">Makes it of the number of steps and the part of them that is warm-up.</param>
internal sealed record ScheduleChoice(string Name, Func<int, double, LearningRateSchedule?> Create)
{
    /// <summary>All that can be asked for; the first is the default.</summary>
    public static IReadOnlyList<ScheduleChoice> All { get; } =
    [
        new("none", (_, _) => null),
        new("warmup-linear", (steps, warmup) => new WarmupLinearSchedule(steps, warmup)),
        new("warmup-constant", (steps, warmup) => new WarmupConstantSchedule(steps, warmup)),
        new("warmup-cosine", (steps, warmup) => new WarmupCosineSchedule(steps, warmup)),
        new("linear", (steps, warmup) => new LinearSchedule(steps, (long)(steps * warmup))),
        new("one-cycle", (steps, warmup) => new OneCycleSchedule(Math.Max(steps, 2), warmup)),
    ];
}
