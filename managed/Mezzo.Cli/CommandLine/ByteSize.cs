// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Mezzo.Cli.CommandLine;

/// <summary>Numbers of bytes as people type them: 64MB, 1.5 GB as 1.5GB, 64MiB, or bytes without a unit.</summary>
internal static class ByteSize
{
    /// <summary>Ends the sentence "expected ..." of an option that takes one.</summary>
    public const string Expected = "a size such as 64MB (10^6 bytes), 1.5GB or 64MiB (2^20 bytes)";

    private static readonly (string Name, long Bytes)[] Units =
    [
        ("TiB", 1L << 40), ("GiB", 1L << 30), ("MiB", 1L << 20), ("KiB", 1L << 10),
        ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000), ("B", 1), ("", 1),
    ];

    /// <summary>Reads a size of at least a byte; upper or lower case does not matter.</summary>
    public static bool TryParse(string text, out long bytes)
    {
        var (name, unit) = Array.Find(Units, unit => text.EndsWith(unit.Name, StringComparison.OrdinalIgnoreCase));
        bool isNumber = decimal.TryParse(text.AsSpan(0, text.Length - name.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal number);
        bool fits = isNumber && number <= (decimal)long.MaxValue / unit;
        bytes = fits ? (long)(number * unit) : 0;
        return bytes > 0;
    }

    /// <summary>A size that can be typed and is no smaller: rounded up to four digits or less.</summary>
    public static string RoundedUp(long bytes)
    {
        var (name, unit) = Array.Find(Units, unit => unit.Bytes <= bytes && !unit.Name.EndsWith("iB", StringComparison.Ordinal));
        return unit <= 1 ? $"{bytes}B" : (decimal.Ceiling((decimal)bytes / unit * 10) / 10).ToString("0.#", CultureInfo.InvariantCulture) + name;
    }
}
