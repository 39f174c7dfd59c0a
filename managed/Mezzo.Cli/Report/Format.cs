// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Mezzo.Cli.Report;

/// <summary>Numbers as the table, the log and the report print them: the same in every culture.</summary>
internal static class Format
{
    private static readonly string[] ByteUnits = ["B", "KiB", "MiB", "GiB", "TiB"];

    public static string Count(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    public static string Count(int value, string singular) => $"{Count(value)} {singular}{(value == 1 ? "" : "s")}";

    /// <summary>A setting, with as many digits as the user gave.</summary>
    public static string Number(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    /// <summary>A loss: three significant digits, such as 1.71e-4.</summary>
    public static string Loss(double value) => value switch
    {
        double.NaN => "NaN",
        double.PositiveInfinity => "+Inf",
        double.NegativeInfinity => "-Inf",
        0 => "0",
        _ => value.ToString("0.00e-0", CultureInfo.InvariantCulture),
    };

    public static string Seconds(double value) => value.ToString(Math.Abs(value) < 10 ? "0.00 's'" : "#,0.0 's'", CultureInfo.InvariantCulture);

    /// <summary>The time of a step, which may be short.</summary>
    public static string Duration(double seconds) => seconds switch
    {
        < 1e-3 => (seconds * 1e6).ToString("0.0 'µs'", CultureInfo.InvariantCulture),
        < 1 => (seconds * 1e3).ToString("0.0 'ms'", CultureInfo.InvariantCulture),
        _ => Seconds(seconds),
    };

    public static string Rate(double value) => value.ToString(value < 10 ? "0.0" : "N0", CultureInfo.InvariantCulture);

    public static string Percent(double fraction) => fraction.ToString("0.0%", CultureInfo.InvariantCulture);

    public static string Ratio(double value) => value.ToString("0.00", CultureInfo.InvariantCulture) + "x";

    public static string Bytes(long value)
    {
        double scaled = value;
        int unit = 0;
        while (Math.Abs(scaled) >= 1024 && unit < ByteUnits.Length - 1)
        {
            scaled /= 1024;
            unit++;
        }

        return scaled.ToString(unit == 0 ? "0" : "0.0", CultureInfo.InvariantCulture) + " " + ByteUnits[unit];
    }

    /// <summary>A loss scale: whole where it is, 3.05e-5 where it is small.</summary>
    public static string Scale(double value) =>
        double.IsInteger(value) && Math.Abs(value) < 1e9 ? value.ToString("N0", CultureInfo.InvariantCulture) : Loss(value);

    /// <summary>Why a step was skipped.</summary>
    public static string Reason(SkipReason reason) => reason switch
    {
        SkipReason.None => "not skipped",
        SkipReason.NonFiniteGradients => "gradients with Inf or NaN",
        SkipReason.NoGradients => "no gradients",
        SkipReason.ScaleAtMinimum => "gradients with Inf or NaN at the smallest loss scale",
        SkipReason.NotANumber => "gradients with NaN that no loss scale cures",
        _ => throw new ArgumentOutOfRangeException(nameof(reason), reason, "Not a reason."),
    };
}
