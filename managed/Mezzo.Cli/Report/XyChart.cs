// SPDX-License-Identifier: MIT
using System.Xml.Linq;

namespace Mezzo.Cli.Report;

/// <summary>Lines and dots over two axes.</summary>
internal static class XyChart
{
    private const double LabelHeight = 15;

    /// <summary>How far above a mark its label stands.</summary>
    private const double MarkLabelRise = 12;

    /// <summary>Draws the series, the first one at the back.</summary>
    /// <param name="frame">Size and description.</param>
    /// <param name="x">Horizontal axis.</param>
    /// <param name="y">Vertical axis.</param>
    /// <param name="series">What to draw.</param>
    /// <param name="band">Vertical range to shade, if any.</param>
    /// <param name="region">Box to shade, if any.</param>
    public static XElement Draw(
        ChartFrame frame, Axis x, Axis y, IReadOnlyList<Series> series, (double From, double To)? band = null, Region? region = null)
    {
        var placed = series.Select(one => (Series: one, Points: frame.Place(Shape(one), x, y).ToArray())).ToArray();
        var paths = placed.Select(one => Svg.Path(one.Series.Style, Data(one.Series, one.Points))).Where(HasData);
        return frame.Wrap(
            "chart",
            band is { } range ? Shade(frame, y, range) : null,
            region is not null ? Shade(frame, x, y, region) : null,
            frame.Axes(x, y),
            Svg.Canvas(frame.Height, paths.Where(path => !IsMarks(path)), clip: true),
            Svg.Canvas(frame.Height, paths.Where(IsMarks)),
            placed.Any(one => one.Points.Any(point => point.IsFinite)) ? null : Svg.Text("nothing to draw", "tick middle", 0.5, frame.Height / 2),
            EndLabels(frame, placed));
    }

    private static bool HasData(XElement path) => path.Attribute("d")!.Value.Length > 0;

    private static bool IsMarks(XElement path) => path.Attribute("class")!.Value.StartsWith("marks", StringComparison.Ordinal);

    private static IEnumerable<Point> Shape(Series series) => series.Kind == SeriesKind.Step ? Stairs(series.Points) : series.Points;

    private static string Data(Series series, IEnumerable<Point> points) =>
        series.Kind is SeriesKind.Dots or SeriesKind.Marks ? Svg.DotData(points) : Svg.LineData(points);

    /// <summary>Holds each value until the next one; leaves out the points inside a level stretch.</summary>
    private static IEnumerable<Point> Stairs(IReadOnlyList<Point> points)
    {
        for (int i = 0; i < points.Count; i++)
        {
            bool rises = i > 0 && points[i].Y != points[i - 1].Y;
            if (rises)
            {
                yield return points[i] with { Y = points[i - 1].Y };
            }

            if (i == 0 || rises || i == points.Count - 1)
            {
                yield return points[i];
            }
        }
    }

    private static XElement Shade(ChartFrame frame, Axis x, Axis y, Region region)
    {
        var (left, right) = (x.Position(region.X.From), x.Position(region.X.To));
        double top = frame.Height * (1 - y.Position(region.Y.To));
        double bottom = frame.Height * (1 - y.Position(region.Y.From));
        return Svg.Element(
            "rect",
            Svg.Attribute("class", "region"),
            Svg.Attribute("x", Svg.Percent(left)),
            Svg.Attribute("width", Svg.Percent(right - left)),
            Svg.Attribute("y", top),
            Svg.Attribute("height", bottom - top));
    }

    private static XElement Shade(ChartFrame frame, Axis y, (double From, double To) range)
    {
        double top = frame.Height * (1 - Math.Clamp(y.Position(range.To), 0, 1));
        double bottom = frame.Height * (1 - Math.Clamp(y.Position(range.From), 0, 1));
        return Svg.Element(
            "rect",
            Svg.Attribute("class", "band"),
            Svg.Attribute("width", "100%"),
            Svg.Attribute("y", top),
            Svg.Attribute("height", bottom - top));
    }

    /// <summary>
    /// Writes each label beside the last point of its line, or above its mark, where no line that falls to the right passes, moved
    /// down where it would cover another.
    /// </summary>
    private static IEnumerable<XElement> EndLabels(ChartFrame frame, IEnumerable<(Series Series, Point[] Points)> placed)
    {
        var labelled =
            from one in placed
            where one.Series.Label is not null && one.Points.Any(point => point.IsFinite)
            let end = one.Points.Last(point => point.IsFinite)
            let y = end.Y - (one.Series.Kind == SeriesKind.Marks ? MarkLabelRise : 0)
            orderby y
            select (one.Series, end.X, Y: y);
        var labels = labelled.ToArray();

        // The lowest label must stay inside, and so leave room above it for the others.
        double lowest = frame.Height - (LabelHeight * labels.Length);
        double next = double.NegativeInfinity;
        for (int i = 0; i < labels.Length; i++)
        {
            double level = Math.Clamp(Math.Max(labels[i].Y, next), 0, lowest + (LabelHeight * (i + 1)));
            next = level + LabelHeight;
            yield return Svg.Text(
                labels[i].Series.Label!, $"name s{labels[i].Series.Color}", labels[i].X / Svg.Width, level + 4, 8);
        }
    }
}
