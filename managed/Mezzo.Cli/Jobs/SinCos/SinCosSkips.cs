// SPDX-License-Identifier: MIT
using System.Xml.Linq;
using Mezzo.Cli.Report;

namespace Mezzo.Cli.Jobs.SinCos;

/// <summary>The steps that were skipped: when, why, and in whose gradients what was found.</summary>
internal static class SinCosSkips
{
    private const int MaxLines = 5;
    private const int MaxRows = 50;

    /// <summary>A line for each of the first ones of every run.</summary>
    public static IEnumerable<string> Lines(SinCosResult result)
    {
        foreach (var run in result.Runs)
        {
            foreach (var step in run.Skips.Take(MaxLines))
            {
                yield return $"{run.Name}, epoch {Format.Count(step.Step)}: skipped at a loss scale of {Format.Scale(step.Scale)}, {Format.Reason(step.Reason)}; " +
                    $"{Found(step)}, first in {First(step)}";
            }

            if (run.Skips.Count > MaxLines)
            {
                yield return $"{run.Name}: {Format.Count(run.Skips.Count - MaxLines, "more step")} skipped; the report has them";
            }
        }
    }

    /// <summary>The first ones as a table; null where there are none.</summary>
    public static XElement? Table(SinCosResult result)
    {
        var rows = result.Runs.SelectMany(run => run.Skips.Select(step => new SummaryRow(
            $"{run.Name}, epoch {Format.Count(step.Step)}", [Format.Reason(step.Reason), Format.Scale(step.Scale), Found(step), First(step)]))).ToArray();
        if (rows.Length == 0)
        {
            return null;
        }

        var table = new SummaryTable([], ["why", "loss scale", "found in the gradients", "first in"], [.. rows.Take(MaxRows)], []).ToHtml();
        string caption = rows.Length > MaxRows ? $"The first {Format.Count(MaxRows)} of {Format.Count(rows.Length, "skipped step")}." : "The skipped steps.";
        return Html.Element("figure", table, Html.Element("figcaption", caption));
    }

    private static string Found(StepResult step) =>
        $"{Format.Count(step.Gradients?.Infs ?? 0)} Inf, {Format.Count(step.Gradients?.NaNs ?? 0)} NaN";

    private static string First(StepResult step) => step.Gradients?.FirstNonFinite ?? "none";
}
