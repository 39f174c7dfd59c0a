// SPDX-License-Identifier: MIT
using System.Text;
using Mezzo.Bindings.Generator.Model;

namespace Mezzo.Bindings.Generator.Emitting;

/// <summary>Writes the header's comments as XML documentation.</summary>
internal static class XmlDoc
{
    public static void Write(CodeWriter code, Doc doc)
    {
        Element(code, "summary", Lines(doc.Paragraphs[0]));
        if (doc.Paragraphs.Count > 1)
        {
            Element(code, "remarks", doc.Paragraphs.Skip(1).SelectMany(Lines).ToList());
        }
    }

    public static void Parameter(CodeWriter code, string name, string text) =>
        code.Line($"/// <param name=\"{name.TrimStart('@')}\">{Sentence(text)}</param>");

    public static void Returns(CodeWriter code, string text) => Element(code, "returns", [Sentence(text)]);

    /// <summary>Says when a call throws; <paramref name="reason"/> is the header's own text, or empty.</summary>
    public static void Throws(CodeWriter code, string reason)
    {
        string text = reason.Length > 0 ? reason : "the native call failed";
        Element(code, "exception cref=\"MezzoException\"", [Sentence(text)]);
    }

    private static void Element(CodeWriter code, string element, List<string> lines)
    {
        string end = element.Split(' ')[0];
        if (lines.Count == 1)
        {
            code.Line($"/// <{element}>{lines[0]}</{end}>");
            return;
        }

        code.Line($"/// <{element}>");
        foreach (string line in lines)
        {
            code.Line($"/// {line}");
        }

        code.Line($"/// </{end}>");
    }

    // Indented lines are formulas, whose line breaks and columns mean something.
    private static List<string> Lines(IReadOnlyList<string> paragraph)
    {
        var lines = new List<string>();
        bool inCode = false;
        foreach (string line in paragraph)
        {
            bool isCode = line.StartsWith(' ');
            if (isCode != inCode)
            {
                lines.Add(isCode ? "<code>" : "</code>");
                inCode = isCode;
            }

            lines.Add(Escape(line).TrimEnd());
        }

        if (inCode)
        {
            lines.Add("</code>");
        }

        if (lines.Count == 1)
        {
            lines[0] = Sentence(paragraph[0]);
        }

        return lines;
    }

    // Words such as f32 and grad_input are names, and keep their first letter.
    private static string Sentence(string text)
    {
        string escaped = Escape(text);
        bool isWord = escaped
            .TakeWhile(letter => letter != ' ')
            .All(letter => char.IsAsciiLetter(letter) || letter is ',' or ';');
        string start = isWord ? char.ToUpperInvariant(escaped[0]) + escaped[1..] : escaped;
        return start.EndsWith('.') ? start : start + ".";
    }

    private static string Escape(string text) => new StringBuilder(text)
        .Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;").ToString();
}
