// SPDX-License-Identifier: MIT
using System.CommandLine;
using Mezzo.Cli.Terminal;

namespace Mezzo.Cli.Commands;

/// <summary><c>mezzo plan JOB</c>.</summary>
internal static class PlanCommand
{
    public static Command Create(TerminalOutput terminal) => new("plan", "Tells how much memory a training step needs, and what computing activations once more saves.")
    {
        PlanSinCosCommand.Create(terminal),
    };
}
