// SPDX-License-Identifier: MIT
using System.Xml.Linq;

namespace Mezzo.Cli.Report;

/// <summary>One bar: its name, its length and the text at its end.</summary>
/// <param name="Name">Text before the bar.</param>
/// <param name="Color">Number of its colour, from 1.</param>
/// <param name="Value">Its length, in any unit; what is not finite or below 0 has none.</param>
/// <param name="Label">Text behind the bar, with the unit.</param>
internal readonly record struct Bar(string Name, int Color, double Value, string Label);

/// <summary>Horizontal bars from zero, each with its value written behind it.</summary>
internal static class BarChart
{
    private const double RowHeight = 34;
    private const double BarHeight = 20;

    /// <summary>The longest bar; what is left of the width belongs to its value.</summary>
    private const double LongestBar = 0.8;

    public static XElement Draw(string id, string title, string description, IReadOnlyList<Bar> bars)
    {
        var frame = new ChartFrame(id, title, description, RowHeight * Math.Max(1, bars.Count));
        double longest = bars.Select(bar => Length(bar.Value)).DefaultIfEmpty().Max();
        return frame.Wrap(
            "chart bars",
            bars.Select((bar, row) => Row(bar, row * RowHeight, longest > 0 ? Length(bar.Value) / longest * LongestBar : 0)),
            Svg.Element(
                "line",
                Svg.Attribute("class", "axis"),
                Svg.Attribute("y1", 0),
                Svg.Attribute("y2", frame.Height)));
    }

    private static double Length(double value) => double.IsFinite(value) ? Math.Max(0, value) : 0;

    private static XElement Row(Bar bar, double top, double length)
    {
        double middle = top + (RowHeight / 2);
        return Svg.Element(
            "g",
            Svg.Element(
                "rect",
                Svg.Attribute("class", $"bar s{bar.Color}"),
                Svg.Attribute("y", middle - (BarHeight / 2)),
                Svg.Attribute("width", Svg.Percent(length)),
                Svg.Attribute("height", BarHeight)),
            Svg.Text(bar.Name, "tick left", 0, middle + 4, -8),
            Svg.Text(bar.Label, "value", length, middle + 4, 8));
    }
}
