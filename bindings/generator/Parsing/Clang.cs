// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Text.Json;

namespace Mezzo.Bindings.Generator.Parsing;

/// <summary>Runs clang over the headers.</summary>
internal static class Clang
{
    /// <summary>Prefix of the constants in which the tree carries the texts of <c>MEZZO_STATUS_LIST</c>.</summary>
    public const string StatusTextPrefix = "text_of_";

    // The tree has no macros in it; expanding the list once more brings its texts in.
    private const string StatusTexts = $"""
        #ifdef MEZZO_STATUS_LIST
        #define STATUS_TEXT(name, value, text) static const char {StatusTextPrefix}MEZZO_STATUS_##name[] = text;
        MEZZO_STATUS_LIST(STATUS_TEXT)
        #endif

        """;

    private static readonly string[] Names =
        ["clang", "clang-14", "clang-15", "clang-16", "clang-17", "clang-18", "clang-19", "clang-20", "clang-21"];

    /// <summary>The compiler's path, or null where the machine has none.</summary>
    public static string? Find()
    {
        string[] folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
        string suffix = OperatingSystem.IsWindows() ? ".exe" : "";
        return Names
            .SelectMany(name => folders.Select(folder => Path.Combine(folder, name + suffix)))
            .FirstOrDefault(File.Exists);
    }

    /// <summary>Parses headers, given relative to <paramref name="includeFolder"/>, as one C99 source.</summary>
    /// <param name="root">Folder that locations are relative to.</param>
    /// <param name="includeFolder">Include folder, relative to <paramref name="root"/>.</param>
    /// <param name="headers">Headers, such as <c>mezzo/ops.h</c>.</param>
    public static AstNode Parse(string root, string includeFolder, IEnumerable<string> headers)
    {
        string clang = Find() ?? throw new GeneratorException(
            $"No clang on PATH: looked for {string.Join(", ", Names)}. On Debian, install the package clang.");
        string source = string.Concat(headers.Select(header => $"#include <{header}>\n")) + StatusTexts;

        var start = new ProcessStartInfo(clang)
        {
            WorkingDirectory = root,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        string[] arguments =
        [
            "-x", "c", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wdocumentation", "-Wno-unused-const-variable",
            "-Werror", "-I", includeFolder, "-fparse-all-comments", "-fsyntax-only", "-Xclang", "-ast-dump=json", "-",
        ];
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        process.StandardInput.Write(source);
        process.StandardInput.Close();
        process.WaitForExit();

        if (process.ExitCode != 0)
        {
            throw new GeneratorException($"clang refuses the header:\n{errors.Result.Trim()}");
        }

        using JsonDocument document = JsonDocument.Parse(output.Result, new JsonDocumentOptions { MaxDepth = 512 });
        return AstNode.Read(document.RootElement.Clone());
    }
}
