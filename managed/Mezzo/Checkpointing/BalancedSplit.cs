// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>Splits a row of weights into parts of neighbours.</summary>
internal static class BalancedSplit
{
    /// <summary>Where each of so many parts starts, so that the heaviest weighs as little as can be and none is empty.</summary>
    public static int[] Starts(IReadOnlyList<long> weights, int parts)
    {
        long[] sums = new long[weights.Count + 1];
        for (int i = 0; i < weights.Count; i++)
        {
            sums[i + 1] = sums[i] + weights[i];
        }

        // heaviest[k][i]: of the first i weights in k parts; from[k][i]: where the last of these starts.
        long[][] heaviest = [.. Enumerable.Range(0, parts + 1).Select(_ => new long[weights.Count + 1])];
        int[][] from = [.. Enumerable.Range(0, parts + 1).Select(_ => new int[weights.Count + 1])];
        Array.Fill(heaviest[0], long.MaxValue, 1, weights.Count);
        for (int k = 1; k <= parts; k++)
        {
            Array.Fill(heaviest[k], long.MaxValue);
            for (int i = k; i <= weights.Count; i++)
            {
                for (int start = k - 1; start < i; start++)
                {
                    long weight = Math.Max(heaviest[k - 1][start], sums[i] - sums[start]);
                    if (weight < heaviest[k][i])
                    {
                        (heaviest[k][i], from[k][i]) = (weight, start);
                    }
                }
            }
        }

        int[] starts = new int[parts];
        for (int k = parts, end = weights.Count; k > 0; k--)
        {
            starts[k - 1] = end = from[k][end];
        }

        return starts;
    }
}
