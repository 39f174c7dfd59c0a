// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.CommandLine;

/// <summary>A command cannot go on; the message is the sentence to print.</summary>
/// <param name="message">What was wrong, expected and got.</param>
/// <param name="exitCode">One of <see cref="ExitCode"/>.</param>
internal sealed class CommandException(string message, int exitCode = ExitCode.Usage) : Exception(message)
{
    public int ExitCode { get; } = exitCode;
}
