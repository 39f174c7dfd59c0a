// SPDX-License-Identifier: MIT
using System.CommandLine;
using System.Globalization;

namespace Mezzo.Cli.CommandLine;

/// <summary>Makes options that say in one sentence what is wrong with a value, what they expect and what they got.</summary>
internal static class Options
{
    /// <summary>An option whose value <paramref name="parse"/> understands.</summary>
    /// <param name="name">Name with its dashes.</param>
    /// <param name="description">Line of the help.</param>
    /// <param name="placeholder">What the help calls the value.</param>
    /// <param name="expected">Ends the sentence "expected ...".</param>
    /// <param name="parse">Reads the value; false refuses it.</param>
    /// <param name="otherwise">Value when the option is not given.</param>
    public static Option<T> Value<T>(
        string name, string description, string placeholder, string expected, TryParse<T> parse, T otherwise) => new(name)
        {
            Description = description,
            HelpName = placeholder,
            DefaultValueFactory = _ => otherwise,
            CustomParser = result =>
            {
                string text = result.Tokens[^1].Value;
                if (parse(text, out var value))
                {
                    return value;
                }

                result.AddError($"{name}: got '{text}', expected {expected}");
                return otherwise;
            },
        };

    /// <summary>A folder, which may be left out.</summary>
    public static Option<string?> Folder(string name, string description) =>
        Value<string?>(name, description, "DIR", "a folder", (string text, out string? value) => (value = text).Length > 0, null);

    /// <summary>A whole number in a range. Null, where nothing is given and the description says what that means.</summary>
    public static Option<int?> Whole(string name, string description, int min, int max, int? otherwise = null)
    {
        bool Parse(string text, out int? value)
        {
            bool isWhole = int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number);
            value = number;
            return isWhole && number >= min && number <= max;
        }

        return Value<int?>(name, description, "N", $"a whole number from {min} to {max}", Parse, otherwise);
    }

    /// <summary>One of a few names.</summary>
    public static Option<string> OneOf(string name, string description, IReadOnlyCollection<string> names, string otherwise) =>
        OneOfOrNone(name, description, names, otherwise)!;

    /// <summary>The same for an option that may be left out.</summary>
    public static Option<string?> OneOfOrNone(string name, string description, IReadOnlyCollection<string> names, string? otherwise = null)
    {
        string expected = string.Join(", ", names.SkipLast(1)) + " or " + names.Last();
        bool Parse(string text, out string? value)
        {
            value = text;
            return names.Contains(text);
        }

        return Value<string?>(name, description, string.Join('|', names), expected, Parse, otherwise);
    }

    /// <summary>Reads a value, or refuses it.</summary>
    public delegate bool TryParse<T>(string text, out T value);
}
