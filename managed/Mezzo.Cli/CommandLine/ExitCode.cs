// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.CommandLine;

/// <summary>What the program tells the shell.</summary>
internal static class ExitCode
{
    public const int Success = 0;

    /// <summary>The command was understood and failed.</summary>
    public const int Failure = 1;

    /// <summary>The command line was not understood, or asked for what cannot be.</summary>
    public const int Usage = 2;

    /// <summary>Ctrl-C ended the command; what it measured until then was written.</summary>
    public const int Interrupted = 130;
}
