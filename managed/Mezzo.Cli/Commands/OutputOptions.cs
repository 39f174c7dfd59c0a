// SPDX-License-Identifier: MIT
using System.CommandLine;
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Commands;

/// <summary>The options that say where a job writes its report and its measurements.</summary>
/// <param name="folder">Folder of the report where none is given.</param>
internal sealed class OutputOptions(string folder)
{
    private readonly Option<string> _out = Options.Value<string>("--out", "Folder for report.html", "DIR", "a folder", TryParse, folder);
    private readonly Option<string?> _json = Options.Value<string?>("--json", "File for the measurements as JSON", "FILE", "a file", TryParse!, null);

    public void AddTo(Command command)
    {
        command.Add(_out);
        command.Add(_json);
    }

    /// <summary>The report's file, which can be written.</summary>
    /// <exception cref="CommandException">It cannot.</exception>
    public OutputFile PrepareReport(ParseResult result) => OutputFile.Prepare("--out", Path.Combine(result.GetValue(_out)!, "report.html"));

    /// <summary>The file of the measurements, which can be written; null where none is asked for.</summary>
    /// <exception cref="CommandException">It cannot.</exception>
    public OutputFile? PrepareJson(ParseResult result) => result.GetValue(_json) is { } file ? OutputFile.Prepare("--json", file) : null;

    private static bool TryParse(string text, out string value) => (value = text).Length > 0;
}
