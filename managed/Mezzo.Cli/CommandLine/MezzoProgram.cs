// SPDX-License-Identifier: MIT
using System.CommandLine;
using System.CommandLine.Help;
using Mezzo.Cli.Commands;
using Mezzo.Cli.Terminal;

namespace Mezzo.Cli.CommandLine;

/// <summary>The program without its process: arguments in, text and an exit code out.</summary>
internal static class MezzoProgram
{
    public static int Run(IReadOnlyList<string> args, TerminalOutput terminal, CancellationToken cancellationToken)
    {
        var root = new Command("mezzo", "Trains neural networks in mixed precision.")
        {
            TrainCommand.Create(terminal, cancellationToken),
            PlanCommand.Create(terminal),
            InfoCommand.Create(terminal),
            new HelpOption(),
            new VersionOption(),
        };
        var result = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (result.Errors.Count > 0 && result.Action?.ClearsParseErrors != true)
        {
            foreach (string sentence in UsageErrors.Describe(result).Distinct())
            {
                terminal.Error.WriteLine(sentence);
            }

            return ExitCode.Usage;
        }

        return Invoke(result, terminal);
    }

    private static int Invoke(ParseResult result, TerminalOutput terminal)
    {
        try
        {
            return result.Invoke(new InvocationConfiguration
            {
                Output = terminal.Output,
                Error = terminal.Error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
            });
        }
        catch (CommandException exception)
        {
            terminal.Error.WriteLine(exception.Message);
            return exception.ExitCode;
        }
        catch (MezzoException exception) when (exception.Status == MezzoStatus.OutOfMemory)
        {
            terminal.Error.WriteLine($"out of memory: {exception.Message}");
            return ExitCode.Failure;
        }
        catch (Exception exception) when (exception is MezzoException or SavedFileException or MinimumLossScaleException or DllNotFoundException or OutOfMemoryException)
        {
            terminal.Error.WriteLine(exception.Message);
            return ExitCode.Failure;
        }
    }
}
