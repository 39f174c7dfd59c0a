// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;

namespace Mezzo.Tests.Checkpointing;

/// <summary>All schedules of a chain.</summary>
internal static class ChainSchedules
{
    /// <summary>Every list of disjoint segments of these stages, and within each segment every list of smaller ones.</summary>
    public static IEnumerable<ChainSegment[]> Of(int first, int last) => Of(first, last, longest: last - first + 1);

    /// <summary>Each number of bytes from which on a schedule is faster than all in fewer, and its time.</summary>
    public static IEnumerable<(long Bytes, double Time)> Front(Chain chain)
    {
        double least = double.PositiveInfinity;
        var runs = Of(0, chain.Stages.Length - 1).Select(schedule => new ChainSimulator(chain).Run(schedule));
        foreach (var run in runs.OrderBy(run => run.PeakBytes).ThenBy(run => run.Time))
        {
            if (run.Time < least)
            {
                least = run.Time;
                yield return (run.PeakBytes, run.Time);
            }
        }
    }

    private static IEnumerable<ChainSegment[]> Of(int first, int last, int longest)
    {
        if (first > last)
        {
            return [[]];
        }

        var kept = Of(first + 1, last);
        return kept.Concat(
            from length in Enumerable.Range(1, longest)
            let end = first + length - 1
            from inner in Of(first, end, longest: length - 1)
            from rest in Of(end + 1, last)
            select (ChainSegment[])[new ChainSegment(first, end, inner), .. rest]);
    }
}
