// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>Splits a row of weights into parts of neighbours.</summary>
internal static class BalancedSplit
{
    /// <summary>
    /// Where each of so many parts starts, so that the heaviest weighs as little as can be, none is empty and, as far as that
    /// leaves a choice, the last ones are as long as can be: the last part is the one that is not computed once more.
    /// </summary>
    /// <param name="weights">At least one, none negative.</param>
    /// <param name="parts">From 1 to the number of weights.</param>
    public static int[] Starts(IReadOnlyList<long> weights, int parts)
    {
        // The heaviest part weighs what one row of neighbours does: the least for which filling parts from the end does.
        var (least, most) = (weights.Max(), weights.Sum());
        while (least < most)
        {
            long middle = least + ((most - least) / 2);
            (least, most) = Fill(weights, parts, middle).Count <= parts ? (least, middle) : (middle + 1, most);
        }

        return [.. Fill(weights, parts, least)];
    }

    /// <summary>Starts of the parts when each, from the last on, takes what it may weigh, and leaves one weight at least for each before it.</summary>
    private static List<int> Fill(IReadOnlyList<long> weights, int parts, long most)
    {
        var starts = new List<int>();
        int start = weights.Count;
        while (start > 0)
        {
            int before = Math.Max(0, parts - starts.Count - 1);
            long weight = 0;
            while (start > before && weight + weights[start - 1] <= most)
            {
                weight += weights[--start];
            }

            starts.Insert(0, start);
        }

        return starts;
    }
}
