// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Globalization;
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Tests;

/// <summary>The program in a process of its own, which ends with the test at the latest.</summary>
internal sealed class CommandProcess : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);
    private readonly Process _process;

    private CommandProcess(string program, IEnumerable<string> args, string? library)
    {
        var start = new ProcessStartInfo(program, args) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["MEZZO_LIBRARY"] = library ?? Runtime.NativeLibraryPath;
        _process = Process.Start(start)!;
    }

    public int ExitCode => _process.ExitCode;

    /// <summary>Starts the program.</summary>
    public static CommandProcess Start(params string[] args) => Start(null, args);

    /// <summary>Starts the program with another native library.</summary>
    public static CommandProcess Start(string? library, string[] args) => new("dotnet", [typeof(MezzoProgram).Assembly.Location, .. args], library);

    /// <summary>Starts the program so that it heeds SIGINT, also where the tests' own process was started to ignore it, as by nohup or &amp;.</summary>
    public static CommandProcess StartInterruptible(params string[] args) => OperatingSystem.IsLinux()
        ? new("env", ["--default-signal=INT", "dotnet", typeof(MezzoProgram).Assembly.Location, .. args], null)
        : Start(args);

    /// <summary>Runs a script of the shell, with the program as $0 and $1 and further arguments behind.</summary>
    public static CommandProcess Script(string[] shell, string script, params string[] args) =>
        new(shell[0], [.. shell[1..], "sh", "-c", script, "dotnet", typeof(MezzoProgram).Assembly.Location, .. args], null);

    /// <summary>Reads lines of the output up to one that holds a text.</summary>
    public async Task WaitFor(string text)
    {
        while (await _process.StandardOutput.ReadLineAsync().WaitAsync(Patience) is { } line)
        {
            if (line.Contains(text, StringComparison.Ordinal))
            {
                return;
            }
        }

        Assert.Fail($"The program ended before it wrote '{text}': {await _process.StandardError.ReadToEndAsync()}");
    }

    public void Kill() => _process.Kill();

    public void Interrupt()
    {
        using var kill = Process.Start("kill", ["-INT", _process.Id.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
    }

    /// <summary>Reads the rest of what the program writes, and waits for its end.</summary>
    public async Task<(string Output, string Error)> Finish()
    {
        var error = _process.StandardError.ReadToEndAsync();
        string output = await _process.StandardOutput.ReadToEndAsync().WaitAsync(Patience);
        await _process.WaitForExitAsync().WaitAsync(Patience);
        return (output, await error);
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            _process.WaitForExit();
        }

        _process.Dispose();
    }
}
