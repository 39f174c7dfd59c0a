// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text.RegularExpressions;
using Mezzo.Bindings.Generator.Model;

namespace Mezzo.Bindings.Generator.Parsing;

/// <summary>Reads a C type from its spelling and refuses what has no fixed layout everywhere.</summary>
/// <param name="declared">Names of the enums and structs declared so far.</param>
internal sealed partial class TypeReader(IReadOnlySet<string> declared)
{
    public CType Read(string spelling, SourceLocation location)
    {
        if (spelling.Contains("(*)", StringComparison.Ordinal))
        {
            throw new GeneratorException(location, $"function pointer without a typedef: {spelling}");
        }

        Match match = Pattern().Match(spelling);
        if (!match.Success)
        {
            throw new GeneratorException(location, $"type not understood: {spelling}");
        }

        string length = match.Groups["length"].Value;
        var type = new CType(
            match.Groups["name"].Value,
            match.Groups["const"].Success,
            match.Groups["stars"].Value.Length,
            length.Length == 0 ? 0 : int.Parse(length, CultureInfo.InvariantCulture));
        if (Refusal(type) is { } reason)
        {
            throw new GeneratorException(location, $"type {spelling}: {reason}");
        }

        return type;
    }

    private string? Refusal(CType type) => type.Name switch
    {
        "void" => type.Length > 0 ? "an array of void" : null,
        "char" => type is { IsConst: true, Pointers: > 0 } ? null : "char only as const char *; use int8_t or uint8_t",
        "bool" or "_Bool" => "its size is the compiler's choice; use int32_t",
        "size_t" or "ssize_t" or "ptrdiff_t" or "intptr_t" or "uintptr_t" or "short" or "int" or "long" or "long long"
            or "unsigned short" or "unsigned int" or "unsigned long" or "unsigned long long" or "long double" =>
            "its size depends on the platform; use a type of fixed width",
        _ when Primitives.CSharp.ContainsKey(type.Name) || declared.Contains(type.Name) => null,
        _ => "unknown type",
    };

    [GeneratedRegex(
        """
        ^ (?<const>const[ ])? (?:(?:struct|enum)[ ])?
        (?<name>(?:(?:unsigned|long)[ ])*\w+)
        (?:[ ](?<stars>\*+))? (?:\[(?<length>\d+)\])? $
        """,
        RegexOptions.IgnorePatternWhitespace)]
    private static partial Regex Pattern();
}
