// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text;

namespace Mezzo.Cli.Report;

/// <summary>An axis whose equal steps are factors. Values that are not above 0 have no place on it.</summary>
internal sealed class LogAxis : Axis
{
    private const string Superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹";
    private static readonly int[] MinorDigits = [2, 5];
    private readonly double _logBase;
    private readonly int _min;
    private readonly int _max;

    private LogAxis(int logBase, int min, int max) => (_logBase, _min, _max) = (logBase, min, max);

    /// <summary>The value at the end of the axis.</summary>
    public double Max => Math.Min(Math.Pow(_logBase, _max), double.MaxValue);

    public override double Position(double value) =>
        double.IsFinite(value) && value > 0 ? (Exponent(value, _logBase) - _min) / (_max - _min) : double.NaN;

    /// <summary>Covers the positive finite values with whole powers of the base, and labels at most about eight.</summary>
    /// <param name="label">What the axis measures.</param>
    /// <param name="values">Values to cover.</param>
    /// <param name="logBase">10 for decades, 2 for octaves.</param>
    public static LogAxis Fit(string label, IEnumerable<double> values, int logBase = 10)
    {
        var exponents = values.Where(value => double.IsFinite(value) && value > 0).Select(value => Exponent(value, logBase)).ToArray();
        int min = exponents.Length == 0 ? 0 : (int)Math.Floor(exponents.Min() + 1e-9);
        int max = exponents.Length == 0 ? 1 : (int)Math.Ceiling(exponents.Max() - 1e-9);
        if (min == max || logBase == 2)
        {
            // Scales are whole powers; without room around them their line would lie on the axis.
            (min, max) = (min - 1, max + 1);
        }

        int step = Math.Max(1, (int)LinearAxis.NiceStep((max - min) / 7.0));
        var ticks = new List<Tick>();
        for (int exponent = min; exponent <= max; exponent++)
        {
            if (exponent % step == 0)
            {
                ticks.Add(new Tick((double)(exponent - min) / (max - min), Power(logBase, exponent)));
            }

            if (logBase == 10 && max - min <= 2 && exponent < max)
            {
                ticks.AddRange(
                    from digit in MinorDigits
                    let position = (exponent + Math.Log10(digit) - min) / (max - min)
                    select new Tick(position, $"{digit}×{Power(logBase, exponent)}"));
            }
        }

        return new LogAxis(logBase, min, max) { Label = label, Ticks = ticks };
    }

    private static double Exponent(double value, double logBase) => Math.Log2(value) / Math.Log2(logBase);

    private static string Power(int logBase, int exponent)
    {
        var text = new StringBuilder(logBase.ToString(CultureInfo.InvariantCulture));
        foreach (char digit in exponent.ToString(CultureInfo.InvariantCulture))
        {
            text.Append(digit == '-' ? '⁻' : Superscripts[digit - '0']);
        }

        return text.ToString();
    }
}
