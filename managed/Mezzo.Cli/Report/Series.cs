// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Report;

/// <summary>How a series is drawn.</summary>
internal enum SeriesKind
{
    /// <summary>A line that names the series.</summary>
    Line,

    /// <summary>A faint line: the noisy values behind a trend.</summary>
    Faint,

    /// <summary>A line of horizontal and vertical pieces.</summary>
    Step,

    /// <summary>Small dots: the data.</summary>
    Dots,

    /// <summary>Large dots: events to be noticed.</summary>
    Marks,
}

/// <summary>One series of a chart.</summary>
/// <param name="Kind">How it is drawn.</param>
/// <param name="Color">Number of its colour and dash pattern, from 1; 0 for the data, which has its own.</param>
/// <param name="Points">Its points in the units of the data.</param>
/// <param name="Label">Text at its end, if any.</param>
internal sealed record Series(SeriesKind Kind, int Color, IReadOnlyList<Point> Points, string? Label = null)
{
    /// <summary>The CSS classes that give it colour, width and dashes.</summary>
    public string Style => $"{Kind.ToString().ToLowerInvariant()} s{Color}";
}
