// SPDX-License-Identifier: MIT
using Mezzo.Cli.CommandLine;
using Mezzo.Cli.Terminal;

namespace Mezzo.Cli.Tests;

/// <summary>What a command printed, and its exit code.</summary>
internal sealed record CommandOutcome(int ExitCode, string Output, string Error)
{
    public string[] ErrorLines => Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>Runs commands inside the test's process.</summary>
internal static class CommandRunner
{
    public static CommandOutcome Run(params string[] args) => Run(args, CancellationToken.None);

    /// <param name="args">The command line.</param>
    /// <param name="cancellationToken">Stands for Ctrl-C.</param>
    public static CommandOutcome Run(string[] args, CancellationToken cancellationToken)
    {
        using var output = new StringWriter { NewLine = "\n" };
        return Run(args, output, cancellationToken);
    }

    public static CommandOutcome Run(string[] args, StringWriter output, CancellationToken cancellationToken)
    {
        using var error = new StringWriter { NewLine = "\n" };
        int exitCode = MezzoProgram.Run(args, new TerminalOutput(output, error), cancellationToken);
        return new CommandOutcome(exitCode, output.ToString(), error.ToString());
    }
}
