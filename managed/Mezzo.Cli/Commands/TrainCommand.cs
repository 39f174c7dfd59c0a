// SPDX-License-Identifier: MIT
using System.CommandLine;
using Mezzo.Cli.Terminal;

namespace Mezzo.Cli.Commands;

/// <summary><c>mezzo train JOB</c>.</summary>
internal static class TrainCommand
{
    public static Command Create(TerminalOutput terminal, CancellationToken cancellationToken) => new("train", "Runs a training job.")
    {
        TrainSinCosCommand.Create(terminal, cancellationToken),
    };
}
