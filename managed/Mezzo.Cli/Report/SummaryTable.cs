// SPDX-License-Identifier: MIT
using System.Xml.Linq;

namespace Mezzo.Cli.Report;

/// <summary>A name and its value.</summary>
internal readonly record struct Fact(string Label, string Value);

/// <summary>One measure of every run.</summary>
/// <param name="Label">What was measured.</param>
/// <param name="Cells">One value for each run.</param>
internal sealed record SummaryRow(string Label, IReadOnlyList<string> Cells);

/// <summary>What a job measured, as it is printed and as the report shows it.</summary>
/// <param name="Settings">What the runs had in common.</param>
/// <param name="Runs">Name of each run.</param>
/// <param name="Rows">What was measured of each run.</param>
/// <param name="Comparison">What follows from comparing the runs.</param>
internal sealed record SummaryTable(
    IReadOnlyList<Fact> Settings, IReadOnlyList<string> Runs, IReadOnlyList<SummaryRow> Rows, IReadOnlyList<Fact> Comparison)
{
    /// <summary>Between columns: as little as tells them apart, so that seven of them fit a terminal of 80.</summary>
    private const string Gap = "  ";

    /// <summary>The table as plain text, numbers aligned to the right.</summary>
    public IEnumerable<string> Lines()
    {
        int labelWidth = Settings.Concat(Comparison).Select(fact => fact.Label).Concat(Rows.Select(row => row.Label)).Max(label => label.Length);
        int[] widths = [.. Runs.Select((run, i) => Rows.Select(row => row.Cells[i].Length).Append(run.Length).Max())];
        string Line(string label, IEnumerable<string> cells) =>
            $"{label.PadRight(labelWidth)}{string.Concat(cells.Select((cell, i) => Gap + cell.PadLeft(widths[i])))}";
        string Sentence(Fact fact) => $"{fact.Label.PadRight(labelWidth)}{Gap}{fact.Value}";

        return
        [
            .. Settings.Select(Sentence),
            "",
            Line("", Runs),
            .. Rows.Select(row => Line(row.Label, row.Cells)),
            .. Comparison.Count == 0 ? [] : new[] { "" },
            .. Comparison.Select(Sentence),
        ];
    }

    /// <summary>The measures as an HTML table, which scrolls by itself where the page is narrower.</summary>
    public XElement ToHtml() => Html.Classed("div", "scroll", Html.Element(
        "table",
        Html.Element(
            "thead",
            Html.Element("tr", Html.Element("td", ""), Runs.Select(run => Html.Element("th", new XAttribute("scope", "col"), run)))),
        Html.Element(
            "tbody",
            Rows.Select(row => Html.Element(
                "tr",
                Html.Element("th", new XAttribute("scope", "row"), row.Label),
                row.Cells.Select(cell => Html.Element("td", cell)))))));
}
