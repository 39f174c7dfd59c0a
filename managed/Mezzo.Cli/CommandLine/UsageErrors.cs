// SPDX-License-Identifier: MIT
using System.CommandLine;
using System.CommandLine.Parsing;

namespace Mezzo.Cli.CommandLine;

/// <summary>Says what was wrong with a command line, one sentence each.</summary>
internal static class UsageErrors
{
    public static IEnumerable<string> Describe(ParseResult result)
    {
        var command = result.CommandResult.Command;
        var unknown = result.UnmatchedTokens.Where(IsOption).ToArray();
        if (unknown.Length > 0)
        {
            // What follows an unknown option may be its value, so nothing is said about the rest.
            return unknown.Select(token => UnknownOption(token, result));
        }

        if (command.Subcommands.Count > 0)
        {
            return [MissingCommand(command, result.UnmatchedTokens is [var first, ..] ? first : null)];
        }

        return result.UnmatchedTokens.Count > 0
            ? result.UnmatchedTokens.Select(token => $"{token}: unknown argument, {command.Name} takes only options")
            : result.Errors.Select(Describe);
    }

    private static bool IsOption(string token) => token.StartsWith('-');

    private static string UnknownOption(string token, ParseResult result)
    {
        string name = token.Split('=', ':')[0];
        var known = new List<string>();
        for (SymbolResult? at = result.CommandResult; at is CommandResult { Command: var command }; at = at.Parent)
        {
            known.AddRange(command.Options.Where(option => at == result.CommandResult || option.Recursive).Select(option => option.Name));
        }

        string hint = Suggestion.Nearest(name, known) is { } nearest
            ? $"did you mean {nearest}?"
            : $"expected one of {string.Join(", ", known.Order(StringComparer.Ordinal))}";
        return $"{name}: unknown option, {hint}";
    }

    private static string MissingCommand(Command command, string? token)
    {
        var names = command.Subcommands.Select(subcommand => subcommand.Name).ToArray();
        string expected = $"expected {string.Join(" or ", names)}";
        return token is null ? $"{command.Name}: no command given, {expected}"
            : Suggestion.Nearest(token, names) is { } nearest ? $"{token}: unknown command, did you mean {nearest}?"
            : $"{token}: unknown command, {expected}";
    }

    private static string Describe(ParseError error) => error.SymbolResult switch
    {
        OptionResult { Tokens.Count: 0, Option: var option } => $"{option.Name}: no value given, expected {option.HelpName}",
        OptionResult { IdentifierTokenCount: > 1, Option: var option } => $"{option.Name}: given more than once, expected at most once",
        _ => error.Message,
    };
}
