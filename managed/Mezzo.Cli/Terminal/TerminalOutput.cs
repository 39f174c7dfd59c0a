// SPDX-License-Identifier: MIT
using Spectre.Console;

namespace Mezzo.Cli.Terminal;

/// <summary>Where a command writes.</summary>
/// <param name="output">Results.</param>
/// <param name="error">Sentences about what went wrong.</param>
/// <param name="live">The terminal to draw progress on; null where there is none, as when output goes to a file.</param>
internal sealed class TerminalOutput(TextWriter output, TextWriter error, IAnsiConsole? live = null)
{
    public TextWriter Output { get; } = output;

    public TextWriter Error { get; } = error;

    public IAnsiConsole? Live { get; } = live;

    /// <summary>The process's own output. Progress is drawn only where a person can see it.</summary>
    public static TerminalOutput System()
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings());
        bool isLive = !Console.IsOutputRedirected && console.Profile.Capabilities is { Ansi: true, Interactive: true };
        return new TerminalOutput(Console.Out, Console.Error, isLive ? console : null);
    }
}
