// SPDX-License-Identifier: MIT
using System.Xml.Linq;

namespace Mezzo.Cli.Report;

/// <summary>The page around the charts: one file that needs no network and no script.</summary>
internal static class Html
{
    public static XElement Element(string name, params object?[] content) => new(name, content);

    public static XElement Classed(string name, string style, params object?[] content) =>
        new(name, new XAttribute("class", style), content);

    /// <summary>Charts side by side where there is room, with a caption below them.</summary>
    public static XElement Figure(string caption, XElement? legend, params XElement[] charts) => Element(
        "figure",
        legend,
        Classed("div", "panels", charts),
        Element("figcaption", caption));

    /// <summary>A chart under a heading of its own.</summary>
    public static XElement Panel(string heading, XElement chart) => Classed("div", "panel", Element("h3", heading), chart);

    /// <summary>Explains colours and dashes once for all charts of a figure.</summary>
    public static XElement Legend(params ReadOnlySpan<(SeriesKind Kind, int Color, string Label)> entries)
    {
        var legend = Classed("p", "legend");
        foreach (var (kind, color, label) in entries)
        {
            bool isDot = kind is SeriesKind.Dots or SeriesKind.Marks;
            legend.Add(LegendEntry(label, isDot ? 12 : 28, Svg.Path(new Series(kind, color, []).Style, isDot ? "M6 5h0" : "M1 5H27")));
        }

        return legend;
    }

    /// <summary>The same, with a shaded box at the end.</summary>
    public static XElement Legend(Region region, params ReadOnlySpan<(SeriesKind Kind, int Color, string Label)> entries)
    {
        var legend = Legend(entries);
        var box = Svg.Element("rect", Svg.Attribute("class", "region"), Svg.Attribute("width", 14), Svg.Attribute("height", 10));
        legend.Add(LegendEntry(region.Label, 14, box));
        return legend;
    }

    /// <summary>Names and values, one pair a line.</summary>
    public static XElement Facts(IEnumerable<Fact> facts) => Element(
        "dl",
        facts.Select(fact => Element("div", Element("dt", fact.Label), Element("dd", fact.Value))));

    public static string Page(string title, params object?[] body)
    {
        var html = Element(
            "html",
            new XAttribute("lang", "en"),
            Element(
                "head",
                Element("meta", new XAttribute("charset", "utf-8")),
                Element("meta", new XAttribute("name", "viewport"), new XAttribute("content", "width=device-width, initial-scale=1")),
                Element("meta", new XAttribute("name", "color-scheme"), new XAttribute("content", "light dark")),
                Element("title", title),
                Element("style", StyleSheet())),
            Element("body", Element("main", body)));
        return "<!DOCTYPE html>\n" + html.ToString(SaveOptions.DisableFormatting) + "\n";
    }

    private static XElement LegendEntry(string label, double width, XElement swatch) => Element(
        "span",
        Svg.Element(
            "svg",
            Svg.Attribute("class", "swatch"),
            Svg.Attribute("width", width),
            Svg.Attribute("height", 10),
            Svg.Attribute("aria-hidden", "true"),
            swatch),
        label);

    private static string StyleSheet()
    {
        using var stream = typeof(Html).Assembly.GetManifestResourceStream("report.css")!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
