// SPDX-License-Identifier: MIT
using System.Xml.Linq;

namespace Mezzo.Cli.Report;

/// <summary>The axes, grid and description of a chart, around what it shows.</summary>
/// <param name="id">Unique on the page; ties the chart to its title and description.</param>
/// <param name="title">What the chart is, for those who cannot see it.</param>
/// <param name="description">What a reader sees in it, for those who cannot.</param>
/// <param name="height">Height in pixels, without the room for labels.</param>
internal sealed class ChartFrame(string id, string title, string description, double height)
{
    public double Height { get; } = height;

    /// <summary>Wraps the chart's content.</summary>
    public XElement Wrap(string style, params object?[] content) => Svg.Element(
        "svg",
        Svg.Attribute("class", style),
        Svg.Attribute("role", "img"),
        Svg.Attribute("aria-labelledby", $"{id}-title {id}-desc"),
        Svg.Attribute("height", Height),
        Svg.Element("title", Svg.Attribute("id", $"{id}-title"), title),
        Svg.Element("desc", Svg.Attribute("id", $"{id}-desc"), description),
        content);

    /// <summary>Grid lines, ticks and labels of both axes.</summary>
    public IEnumerable<XElement> Axes(Axis x, Axis y)
    {
        foreach (var tick in y.Ticks)
        {
            double level = Level(tick.Position);
            yield return Line("grid", 0, 1, level, level);
            yield return Svg.Text(tick.Label, "tick left", 0, level + 4, -8);
        }

        yield return Line("axis", 0, 1, Height, Height);
        foreach (var tick in x.Ticks)
        {
            yield return Line("axis", tick.Position, tick.Position, Height, Height + 5);
            yield return Svg.Text(tick.Label, "tick middle", tick.Position, Height + 19);
        }

        yield return Svg.Text(y.Label, "label", 0, -12, -48);
        yield return Svg.Text(x.Label, "label middle", 0.5, Height + 38);
    }

    /// <summary>Points in the units of the data as points on the canvas; those without a place become gaps.</summary>
    public IEnumerable<Point> Place(IEnumerable<Point> points, Axis x, Axis y) =>
        from point in points
        select new Point(x.Position(point.X) * Svg.Width, Level(y.Position(point.Y)));

    private static XElement Line(string style, double x1, double x2, double y1, double y2) => Svg.Element(
        "line",
        Svg.Attribute("class", style),
        Svg.Attribute("x1", Svg.Percent(x1)),
        Svg.Attribute("x2", Svg.Percent(x2)),
        Svg.Attribute("y1", y1),
        Svg.Attribute("y2", y2));

    private double Level(double position) => Height * (1 - position);
}
