// SPDX-License-Identifier: MIT
using Mezzo.Cli.Report;

namespace Mezzo.Cli.Tests.Report;

public sealed class AxisTests
{
    private static readonly double[][] Ranges =
    [
        [],
        [0],
        [5],
        [-1e-9],
        [1, 1, 1],
        [double.NaN, double.PositiveInfinity],
        [-3, 8],
        [1e-300, 1e300],
        [0.1, 0.1 + 1e-12],
        [-1e299, 1e299],
        [double.Epsilon, double.MaxValue],
    ];

    [TestCase(0.7, 1)]
    [TestCase(1, 1)]
    [TestCase(1.1, 2)]
    [TestCase(3, 5)]
    [TestCase(0.06, 0.1)]
    [TestCase(600, 1000)]
    public void NiceStep_IsRound(double rough, double nice) =>
        Assert.That(LinearAxis.NiceStep(rough), Is.EqualTo(nice).Within(1e-12).Percent);

    [TestCaseSource(nameof(Ranges))]
    public void Axes_OfAnyValues_HaveDistinctFiniteTicksInside(double[] values)
    {
        foreach (Axis axis in new Axis[] { LinearAxis.Fit("", values), LogAxis.Fit("", values), LogAxis.Fit("", values, 2) })
        {
            Assert.Multiple(() =>
            {
                Assert.That(axis.Ticks, Has.Count.InRange(1, 20), axis.GetType().Name);
                Assert.That(axis.Ticks.Select(tick => tick.Position), Is.Ordered.And.Unique.And.All.InRange(-1e-9, 1 + 1e-9));
                Assert.That(axis.Ticks.Select(tick => tick.Label), Is.Unique);
            });
        }
    }

    [Test]
    public void LinearAxis_CoversItsValues()
    {
        var axis = LinearAxis.Fit("", [-3, 8]);

        Assert.That(axis.Ticks.Select(tick => tick.Label), Is.EqualTo(new[] { "−5", "0", "5", "10" }));
        Assert.That(axis.Position(-3), Is.InRange(0, 1));
        Assert.That(axis.Position(8), Is.InRange(0, 1));
    }

    [Test]
    public void LogAxis_LabelsDecades_AndPlacesThemEvenly()
    {
        var axis = LogAxis.Fit("", [2e-4, 0.9]);

        Assert.Multiple(() =>
        {
            Assert.That(axis.Ticks.Select(tick => tick.Label), Is.EqualTo(new[] { "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "10⁰" }));
            Assert.That(axis.Position(1e-2), Is.EqualTo(0.5).Within(1e-12));
            Assert.That(axis.Position(0), Is.NaN);
            Assert.That(axis.Position(-1), Is.NaN);
            Assert.That(axis.Position(double.PositiveInfinity), Is.NaN);
        });
    }

    [Test]
    public void LogAxis_OfLossScales_LabelsPowersOfTwo()
    {
        var axis = LogAxis.Fit("", [65536], 2);

        Assert.That(axis.Ticks.Select(tick => tick.Label), Is.EqualTo(new[] { "2¹⁵", "2¹⁶", "2¹⁷" }));
    }
}
