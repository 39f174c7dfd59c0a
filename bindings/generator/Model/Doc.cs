// SPDX-License-Identifier: MIT
namespace Mezzo.Bindings.Generator.Model;

/// <summary>A documentation comment.</summary>
/// <param name="Paragraphs">Paragraphs of lines; a line keeps its indentation, which marks formulas.</param>
/// <param name="Parameters">What the comment says about each parameter.</param>
/// <param name="Returns">What it says about the result, empty for nothing.</param>
internal sealed record Doc(
    IReadOnlyList<IReadOnlyList<string>> Paragraphs, IReadOnlyList<ParameterDoc> Parameters, string Returns)
{
    public static Doc Of(string text) => new([[text]], [], "");

    /// <summary>The text on one line, for rules that read it.</summary>
    public string Text => string.Join(' ', Paragraphs.SelectMany(lines => lines).Select(line => line.Trim()));
}

/// <summary>One <c>@param</c> of a comment.</summary>
internal sealed record ParameterDoc(string Name, bool IsOut, string Text);
