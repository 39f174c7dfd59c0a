// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;

namespace Mezzo.Tests.Standalone;

/// <summary>What the command line asks for.</summary>
/// <param name="Only">Runs the tests whose full name it matches.</param>
/// <param name="Except">Leaves out those whose full name it matches.</param>
/// <param name="Without">Leaves out those of this category, null for none.</param>
/// <param name="Results">File for the results as NUnit's XML, null for none.</param>
internal sealed record Options(Regex Only, Regex Except, string? Without, string? Results)
{
    private const string Usage = """
        Runs Mezzo's managed tests; needs no .NET installation.
          --only REGEX         runs the tests whose full name matches
          --except REGEX       leaves out those whose full name matches
          --without CATEGORY   leaves out those of the category
          --results FILE       writes the results as NUnit's XML
        MEZZO_LIBRARY names the native library, MEZZO_TEST_DEVICE the device. Exits with 1 when a test failed or none ran.
        """;

    /// <summary>Null when the arguments cannot be understood or help was asked for; <paramref name="error"/> says so.</summary>
    public static Options? Parse(string[] args, out string? error)
    {
        var options = new Options(new Regex(""), new Regex("(?!)"), null, null);
        error = null;
        for (int i = 0; i < args.Length; i += 2)
        {
            if (i + 1 == args.Length)
            {
                error = args[i] is "--help" or "-h" ? Usage : $"{args[i]} lacks its value\n{Usage}";
                return null;
            }

            try
            {
                options = args[i] switch
                {
                    "--only" => options with { Only = new Regex(args[i + 1]) },
                    "--except" => options with { Except = new Regex(args[i + 1]) },
                    "--without" => options with { Without = args[i + 1] },
                    "--results" => options with { Results = args[i + 1] },
                    _ => null,
                };
            }
            catch (RegexParseException exception)
            {
                error = $"{args[i]} got '{args[i + 1]}', expected a regular expression: {exception.Message}";
                return null;
            }

            if (options is null)
            {
                error = $"unknown option {args[i]}\n{Usage}";
                return null;
            }
        }

        return options;
    }
}
