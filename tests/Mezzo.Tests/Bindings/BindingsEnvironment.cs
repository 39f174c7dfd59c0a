// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Reflection;
using Mezzo.Bindings.Generator;
using Mezzo.Bindings.Generator.Parsing;

namespace Mezzo.Tests.Bindings;

/// <summary>What tests of the bindings need from the machine; a test without it is ignored, with the reason.</summary>
internal static class BindingsEnvironment
{
    private static string Root => typeof(BindingsEnvironment).Assembly
        .GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(attribute => attribute.Key == "RepositoryRoot").Value!;

    public static string IncludeFolder => Path.Combine(Root, "native", "include");

    /// <summary>The source tree that these tests were built from.</summary>
    public static SourceTree Sources()
    {
        RequireClang();
        return SourceTree.Around(Path.GetFullPath(Root));
    }

    public static void RequireClang()
    {
        if (Clang.Find() is null)
        {
            Assert.Ignore("There is no clang on PATH.");
        }
    }

    /// <summary>Compiles C with the system's compiler into a program or, with -shared, a library.</summary>
    public static void Compile(string source, string output, params string[] options)
    {
        if (!OperatingSystem.IsLinux())
        {
            Assert.Ignore("The C compiler is called as on Linux.");
        }

        string file = output + ".c";
        File.WriteAllText(file, source);
        Run("cc", ["-std=c99", "-fPIC", .. options, "-o", output, file]);
    }

    /// <summary>Runs a program and returns what it prints; fails when the program does.</summary>
    public static string Run(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.That(process.ExitCode, Is.Zero, errors.Result);
        return output;
    }
}
