// SPDX-License-Identifier: MIT
using Mezzo.Cli.Report;

namespace Mezzo.Cli.Tests.Report;

public sealed class ThinningTests
{
    [Test]
    public void MinMax_ShortSeries_StaysAsItIs()
    {
        var points = Thinning.MinMax([3, 1, double.NaN], 4);

        Assert.That(points, Is.EqualTo(new Point[] { new(0, 3), new(1, 1), new(2, double.NaN) }));
    }

    [Test]
    public void MinMax_OfNothing_IsNothing() => Assert.That(Thinning.MinMax([]), Is.Empty);

    [TestCase(2001)]
    [TestCase(5000)]
    [TestCase(100_000)]
    public void MinMax_KeepsEverySpike_EndsAndOrder_WithinTheBound(int count)
    {
        double[] values = [.. Enumerable.Range(0, count).Select(i => Math.Sin(i * 0.01))];
        int[] spikes = [1, count / 3, count / 2, count - 2];
        foreach (int spike in spikes)
        {
            values[spike] = 100 + spike;
        }

        values[count / 4] = -100;
        var points = Thinning.MinMax(values);

        Assert.Multiple(() =>
        {
            Assert.That(points, Has.Count.LessThanOrEqualTo(Thinning.MaxPoints));
            Assert.That(points.Select(point => point.X), Is.Ordered.And.Unique);
            Assert.That(points.All(point => point.Y == values[(int)point.X]), "every point is one of the series");
            Assert.That(points[0].X, Is.Zero);
            Assert.That(points[^1].X, Is.EqualTo(count - 1));
            Assert.That(spikes.Append(count / 4).Select(i => new Point(i, values[i])), Is.SubsetOf(points));
        });
    }

    [Test]
    public void MinMax_PassesOverNonFiniteValues_AndLeavesAGapWhereThereIsNothingElse()
    {
        double[] values = [.. Enumerable.Repeat(1.0, 10_000)];
        values[5000] = double.NaN;
        values[5001] = 7;
        Array.Fill(values, double.PositiveInfinity, 8000, 1000);

        var points = Thinning.MinMax(values, 100);

        Assert.Multiple(() =>
        {
            Assert.That(points, Does.Contain(new Point(5001, 7)));
            Assert.That(points.Count(point => !point.IsFinite), Is.GreaterThanOrEqualTo(4));
            Assert.That(points.Where(point => !point.IsFinite).All(point => point.X is >= 8000 and < 9000));
        });
    }

    [Test]
    public void RollingMedian_PassesOverSpikes()
    {
        double[] values = [.. Enumerable.Repeat(2.0, 1000)];
        values[500] = 1e9;
        values[501] = double.NaN;

        var points = Thinning.RollingMedian(values, 21, 50);

        Assert.That(points, Has.Count.EqualTo(50));
        Assert.That(points.Select(point => point.Y), Is.All.EqualTo(2));
    }

    [Test]
    public void Spread_KeepsTheBoundAndBothEndsOfTheRange()
    {
        int[] indices = [.. Enumerable.Range(10, 100_000)];

        var kept = Thinning.Spread(indices, 500);

        Assert.That(kept, Has.Count.InRange(400, 500));
        Assert.That(kept[0], Is.EqualTo(10));
        Assert.That(kept[^1], Is.GreaterThan(99_000));
    }
}
