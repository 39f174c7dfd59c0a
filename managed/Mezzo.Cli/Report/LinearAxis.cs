// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Mezzo.Cli.Report;

/// <summary>An axis with equal steps.</summary>
internal sealed class LinearAxis : Axis
{
    private readonly double _min;
    private readonly double _max;

    private LinearAxis(double min, double max) => (_min, _max) = (min, max);

    public override double Position(double value) => double.IsFinite(value) ? (value - _min) / (_max - _min) : double.NaN;

    /// <summary>Covers the finite values, with ticks at round numbers: 1, 2 or 5 times a power of ten.</summary>
    public static LinearAxis Fit(string label, IEnumerable<double> values, int tickCount = 5)
    {
        var (min, max) = Range(values);
        double step = NiceStep((max - min) / tickCount);
        return Create(label, Math.Floor(min / step) * step, Math.Ceiling(max / step) * step, step);
    }

    /// <summary>Covers 0 to the number of steps, and not beyond; ticks at round numbers of steps.</summary>
    public static LinearAxis Steps(string label, int count, int tickCount = 5)
    {
        int max = Math.Max(1, count);
        return Create(label, 0, max, Math.Max(1, NiceStep((double)max / tickCount)));
    }

    /// <summary>Covers a fixed range with given ticks.</summary>
    public static LinearAxis Fixed(string label, double min, double max, params ReadOnlySpan<(double Value, string Label)> ticks)
    {
        var axis = new List<Tick>(ticks.Length);
        foreach (var (value, text) in ticks)
        {
            axis.Add(new Tick((value - min) / (max - min), text));
        }

        return new LinearAxis(min, max) { Label = label, Ticks = axis };
    }

    /// <summary>The smallest of 1, 2, 5, 10 times a power of ten that is not below <paramref name="rough"/>.</summary>
    internal static double NiceStep(double rough)
    {
        double power = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        double digit = rough / power;
        return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
    }

    private static LinearAxis Create(string label, double min, double max, double step)
    {
        var ticks = new List<Tick>();
        long first = (long)Math.Ceiling((min / step) - 1e-9);
        long last = (long)Math.Floor((max / step) + 1e-9);
        int decimals = Math.Max(0, -(int)Math.Floor(Math.Log10(step) + 1e-9));
        for (long i = first; i <= last; i++)
        {
            // A sum of steps would drift off the round number.
            ticks.Add(new Tick(((i * step) - min) / (max - min), TickLabel(i * step, decimals)));
        }

        return new LinearAxis(min, max) { Label = label, Ticks = ticks };
    }

    private static string TickLabel(double value, int decimals)
    {
        bool isLong = Math.Abs(value) >= 1e7 || decimals > 5;
        string format = isLong ? "0.##e0" : "N" + decimals.ToString(CultureInfo.InvariantCulture);
        return value.ToString(format, CultureInfo.InvariantCulture).Replace('-', '\u2212');
    }

    private static (double Min, double Max) Range(IEnumerable<double> values)
    {
        // Beyond these bounds the differences below would overflow, or lose all their digits.
        var finite = values.Where(value => Math.Abs(value) < 1e300).Select(value => Math.Abs(value) < 1e-300 ? 0 : value).ToArray();
        if (finite.Length == 0)
        {
            return (0, 1);
        }

        double min = finite.Min();
        double max = finite.Max();
        double widest = Math.Max(Math.Abs(min), Math.Abs(max));

        // A constant series gets a range around it, wide enough for ticks to differ.
        double margin = max - min > widest * 1e-9 ? 0 : widest == 0 ? 1 : widest / 2;
        return (min - margin, max + margin);
    }
}
