// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text.RegularExpressions;
using Mezzo.Bindings.Generator.Model;

namespace Mezzo.Bindings.Generator.Parsing;

/// <summary>What is read from a header's text alone: constants, and counts that check clang's tree.</summary>
internal static partial class HeaderText
{
    /// <summary>Constants of the form <c>#define MEZZO_NAME 123</c>, with the comment on the line above.</summary>
    public static IEnumerable<Constant> Constants(string text) =>
        from Match match in ConstantPattern().Matches(text)
        let name = match.Groups["name"].Value
        let value = long.Parse(match.Groups["value"].Value, CultureInfo.InvariantCulture)
        let doc = match.Groups["doc"]
        select new Constant(name, value, Doc.Of(doc.Success ? doc.Value : $"{name} of the header."));

    /// <summary>Throws unless the model holds as many declarations of each kind as the headers' text.</summary>
    public static void ExpectCounts(string text, Header header)
    {
        Expect("functions", header.Functions.Count, Occurrences(text, FunctionPattern()));
        Expect("enums", header.Enums.Count, Occurrences(text, EnumPattern()));
        Expect("structs", header.Structs.Count, Occurrences(text, StructPattern()));
    }

    private static int Occurrences(string text, Regex pattern) => pattern.Count(text);

    private static void Expect(string what, int got, int expected)
    {
        if (got != expected)
        {
            throw new GeneratorException($"The headers' text declares {expected} {what}, their syntax tree {got}.");
        }
    }

    [GeneratedRegex(
        @"(?:^/\*\* (?<doc>[^\n]*?) \*/\n)?^#define (?<name>MEZZO_\w+) (?<value>\d+)$", RegexOptions.Multiline)]
    private static partial Regex ConstantPattern();

    [GeneratedRegex(@"^MEZZO_API\b", RegexOptions.Multiline)]
    private static partial Regex FunctionPattern();

    [GeneratedRegex(@"^typedef enum\b", RegexOptions.Multiline)]
    private static partial Regex EnumPattern();

    [GeneratedRegex(@"^typedef struct\b", RegexOptions.Multiline)]
    private static partial Regex StructPattern();
}
