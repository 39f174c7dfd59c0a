// SPDX-License-Identifier: MIT
using Mezzo.Bindings.Generator.Model;

namespace Mezzo.Bindings.Generator.Parsing;

/// <summary>Reads a documentation comment from clang's tree.</summary>
internal static class DocReader
{
    /// <summary>The comment of a declaration, or null when it has none.</summary>
    public static Doc? Read(AstNode declaration)
    {
        AstNode? comment = declaration.ChildrenOf("FullComment").FirstOrDefault();
        if (comment is null)
        {
            return null;
        }

        var paragraphs = new List<IReadOnlyList<string>>();
        var parameters = new List<ParameterDoc>();
        string returns = "";
        foreach (AstNode part in comment.Children)
        {
            switch (part.Kind)
            {
                case "ParagraphComment":
                    List<string> lines = Lines(part);
                    if (lines.Count > 0)
                    {
                        paragraphs.Add(lines);
                    }

                    break;
                case "ParamCommandComment":
                    bool isOut = part.Text("direction").Contains("out", StringComparison.Ordinal);
                    parameters.Add(new ParameterDoc(part.Text("param"), isOut, OneLine(part)));
                    break;
                case "BlockCommandComment" when part.Name == "return":
                    returns = OneLine(part);
                    break;
                default:
                    throw Unknown(part);
            }
        }

        return new Doc(paragraphs, parameters, returns);
    }

    private static string OneLine(AstNode command) =>
        string.Join(' ', command.Children.SelectMany(Lines).Select(line => line.Trim()));

    // Clang cuts a line at characters that might open a tag, so pieces are joined by their line.
    private static List<string> Lines(AstNode paragraph)
    {
        AstNode? unknown = paragraph.Children.FirstOrDefault(child => child.Kind != "TextComment");
        if (paragraph.Kind != "ParagraphComment" || unknown is not null)
        {
            throw Unknown(unknown ?? paragraph);
        }

        return paragraph.Children
            .GroupBy(child => child.Location.Line, child => child.Text("text"))
            .Select(pieces => string.Concat(pieces).TrimEnd())
            .Select(line => line.StartsWith(' ') ? line[1..] : line)
            .Where(line => line.Length > 0)
            .ToList();
    }

    private static GeneratorException Unknown(AstNode part) =>
        new(part.Location, $"the comment holds a {part.Kind} {part.Name}, which has no counterpart; "
            + "expected plain text, @param and @return");
}
