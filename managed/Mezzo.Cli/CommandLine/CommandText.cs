// SPDX-License-Identifier: MIT
using System.CommandLine;

namespace Mezzo.Cli.CommandLine;

/// <summary>A command line as a person would type it again.</summary>
internal static class CommandText
{
    public static string Of(ParseResult parsed) =>
        "mezzo " + string.Join(' ', parsed.Tokens.Select(token => token.Value.Any(char.IsWhiteSpace) ? $"\"{token.Value}\"" : token.Value));
}
