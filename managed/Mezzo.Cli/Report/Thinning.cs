// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Report;

/// <summary>Makes long series short enough to draw, without losing what a reader looks for in them.</summary>
internal static class Thinning
{
    /// <summary>Most points of one drawn series.</summary>
    public const int MaxPoints = 2000;

    /// <summary>
    /// The series as points (index, value), at most <paramref name="maxPoints"/> of them: the first, the
    /// last, and the smallest and largest finite value of each bucket in between, so that no spike is
    /// lost. A bucket without a finite value becomes a gap.
    /// </summary>
    public static IReadOnlyList<Point> MinMax(IReadOnlyList<double> values, int maxPoints = MaxPoints)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxPoints, 4);
        if (values.Count <= maxPoints)
        {
            return [.. values.Select((value, index) => new Point(index, value))];
        }

        int buckets = (maxPoints - 2) / 2;
        int inner = values.Count - 2;
        var points = new List<Point>(maxPoints) { new(0, values[0]) };
        for (int bucket = 0; bucket < buckets; bucket++)
        {
            int begin = 1 + (int)((long)inner * bucket / buckets);
            int end = 1 + (int)((long)inner * (bucket + 1) / buckets);
            AddExtremes(points, values, begin, end);
        }

        points.Add(new Point(values.Count - 1, values[^1]));
        return points;
    }

    /// <summary>
    /// The median of the finite values around each of <paramref name="count"/> evenly spaced indices: the
    /// trend of a noisy series.
    /// </summary>
    public static IReadOnlyList<Point> RollingMedian(IReadOnlyList<double> values, int window, int count)
    {
        var points = new List<Point>(count);
        for (int i = 0; i < count; i++)
        {
            int centre = count == 1 ? 0 : (int)((long)(values.Count - 1) * i / (count - 1));
            int begin = Math.Max(0, centre - (window / 2));
            int end = Math.Min(values.Count, centre + (window / 2) + 1);
            var around = Enumerable.Range(begin, end - begin).Select(index => values[index]).Where(double.IsFinite).Order().ToArray();
            points.Add(new Point(centre, around.Length == 0 ? double.NaN : around[around.Length / 2]));
        }

        return points;
    }

    /// <summary>At most <paramref name="maxPoints"/> of the indices, evenly spread over their range.</summary>
    public static IReadOnlyList<int> Spread(IReadOnlyList<int> indices, int maxPoints)
    {
        if (indices.Count <= maxPoints)
        {
            return indices;
        }

        long range = indices[^1] - (long)indices[0] + 1;
        return [.. indices.DistinctBy(index => (index - (long)indices[0]) * maxPoints / range)];
    }

    private static void AddExtremes(List<Point> points, IReadOnlyList<double> values, int begin, int end)
    {
        int smallest = -1;
        int largest = -1;
        for (int i = begin; i < end; i++)
        {
            if (!double.IsFinite(values[i]))
            {
                continue;
            }

            smallest = smallest < 0 || values[i] < values[smallest] ? i : smallest;
            largest = largest < 0 || values[i] > values[largest] ? i : largest;
        }

        if (smallest < 0)
        {
            points.Add(new Point(begin, double.NaN));
            return;
        }

        points.Add(new Point(Math.Min(smallest, largest), values[Math.Min(smallest, largest)]));
        if (smallest != largest)
        {
            points.Add(new Point(Math.Max(smallest, largest), values[Math.Max(smallest, largest)]));
        }
    }
}
