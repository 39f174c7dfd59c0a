// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Globalization;
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Tests;

/// <summary>What only a process of its own can show: signals, and a native library that does not load.</summary>
public sealed class ProcessTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [TestCase("/nowhere/libmezzo.so")]
    [TestCase("/dev/null")]
    public async Task NativeLibraryThatDoesNotLoad_IsOneSentenceNamingIt(string library)
    {
        using var process = Start(library, "info");

        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync().WaitAsync(Patience);

        Assert.Multiple(() =>
        {
            Assert.That(process.ExitCode, Is.EqualTo(ExitCode.Failure));
            Assert.That(error.Trim().Split('\n'), Has.Length.EqualTo(1));
            Assert.That(error, Does.Contain(library).And.Not.Contain("   at "));
        });
    }

    [Test]
    [Platform("Linux,MacOsX")]
    public async Task Interrupt_EndsCleanlyWithWhatWasMeasured()
    {
        using var folder = new TemporaryFolder();
        using var process = Start(
            Runtime.NativeLibraryPath, "train", "sincos", "--samples", "64", "--hidden", "8", "--epochs", "10000000", "--device", TestDevice.Name, "--out", folder.Path);
        while (await process.StandardOutput.ReadLineAsync().WaitAsync(Patience) is { } line && !line.Contains("epoch", StringComparison.Ordinal))
        {
        }

        using var kill = Process.Start("kill", ["-INT", process.Id.ToString(CultureInfo.InvariantCulture)]);
        string rest = await process.StandardOutput.ReadToEndAsync().WaitAsync(Patience);
        await process.WaitForExitAsync().WaitAsync(Patience);

        Assert.Multiple(() =>
        {
            Assert.That(process.ExitCode, Is.EqualTo(ExitCode.Interrupted));
            Assert.That(rest, Does.Contain("Interrupted:").And.Contain("smallest loss"));
            Assert.That(folder.File("report.html"), Does.Exist);
        });
    }

    private static Process Start(string library, params string[] args)
    {
        var start = new ProcessStartInfo("dotnet", [typeof(MezzoProgram).Assembly.Location, .. args])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["MEZZO_LIBRARY"] = library;
        return Process.Start(start)!;
    }
}
