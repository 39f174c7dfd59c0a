// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text;
using System.Xml.Linq;

namespace Mezzo.Cli.Report;

/// <summary>
/// The few SVG elements that the charts are made of.
/// </summary>
/// <remarks>
/// A chart is as wide as the page lets it be and has a fixed height, so that its text keeps its size on a
/// phone. Across, places are percentages; down, they are pixels. Lines are drawn in a coordinate system
/// 1,000 units wide that is stretched to the chart, with strokes that do not stretch.
/// </remarks>
internal static class Svg
{
    /// <summary>Width of the coordinate system of lines.</summary>
    public const int Width = 1000;

    /// <summary>Room around what is clipped, for the outer half of a line on its edge.</summary>
    private const double ClipRoom = 2;

    private static readonly XNamespace Namespace = "http://www.w3.org/2000/svg";

    public static XElement Element(string name, params object?[] content) => new(Namespace + name, content);

    public static XAttribute Attribute(string name, string value) => new(name, value);

    public static XAttribute Attribute(string name, double value) => new(name, Coordinate(value));

    /// <summary>A horizontal place, from 0 to 1, as a percentage.</summary>
    public static string Percent(double position) => Coordinate(position * 100, "0.##") + "%";

    /// <summary>A coordinate as it stands in the file.</summary>
    /// <exception cref="ArgumentOutOfRangeException">NaN or infinite: no viewer draws the element.</exception>
    public static string Coordinate(double value, string format = "0.#") => double.IsFinite(value)
        ? value.ToString(format, CultureInfo.InvariantCulture)
        : throw new ArgumentOutOfRangeException(nameof(value), value, "A coordinate must be finite.");

    public static XElement Text(string text, string style, double position, double y, double offset = 0) => Element(
        "text",
        Attribute("class", style),
        Attribute("x", Percent(position)),
        Attribute("y", y),
        offset == 0 ? null : Attribute("dx", offset),
        text);

    /// <summary>The part of a chart in which places are units: 1,000 across, <paramref name="height"/> down.</summary>
    public static XElement Canvas(double height, IEnumerable<XElement> content, bool clip = false)
    {
        var (top, whole) = clip ? (-ClipRoom, height + (2 * ClipRoom)) : (0, height);
        return Element(
            "svg",
            Attribute("viewBox", $"0 {Coordinate(top)} {Width} {Coordinate(whole)}"),
            Attribute("preserveAspectRatio", "none"),
            Attribute("y", top),
            Attribute("width", "100%"),
            Attribute("height", whole),
            Attribute("overflow", clip ? "hidden" : "visible"),
            content);
    }

    public static XElement Path(string style, string data) => Element("path", Attribute("class", style), Attribute("d", data));

    /// <summary>Path data of a line through the points, with a gap wherever one is not finite.</summary>
    public static string LineData(IEnumerable<Point> points)
    {
        var data = new StringBuilder();
        bool drawing = false;
        foreach (var point in points)
        {
            if (point.IsFinite)
            {
                // A line of no length shows a point that stands alone.
                Append(data, drawing ? "L" : "M", point).Append(drawing ? "" : "h0");
            }

            drawing = point.IsFinite;
        }

        return data.ToString();
    }

    /// <summary>Path data that a round line cap turns into a dot at each point.</summary>
    public static string DotData(IEnumerable<Point> points)
    {
        var data = new StringBuilder();
        foreach (var point in points.Where(point => point.IsFinite))
        {
            Append(data, "M", point).Append("h0");
        }

        return data.ToString();
    }

    private static StringBuilder Append(StringBuilder data, string command, Point point) =>
        data.Append(command).Append(Coordinate(point.X)).Append(' ').Append(Coordinate(point.Y));
}
