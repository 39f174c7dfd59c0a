// SPDX-License-Identifier: MIT
using System.CommandLine;
using Mezzo.Cli.CommandLine;
using Mezzo.Cli.Jobs;

namespace Mezzo.Cli.Commands;

/// <summary>The options of a job whose runs can be saved and resumed.</summary>
/// <param name="steps">What the job calls its steps.</param>
/// <param name="maxSteps">The most that it can make.</param>
internal sealed class SavingOptions(string steps, int maxSteps)
{
    private readonly Option<string?> _save = Options.Folder(
        "--save", "Folder to save the state of the training in, at its end and when it is interrupted [default: that of --resume, else none]");

    private readonly Option<int?> _every = Options.Whole("--save-every", $"{steps} between two saves [default: none between]", 1, maxSteps);

    private readonly Option<string?> _resume = Options.Folder(
        "--resume", "Folder of an earlier --save to go on from, as if the training had never stopped; the other options must be the same");

    public void AddTo(Command command)
    {
        command.Add(_save);
        command.Add(_every);
        command.Add(_resume);
    }

    /// <summary>Reads the options.</summary>
    /// <exception cref="CommandException">They do not go together.</exception>
    public JobSaving Read(ParseResult result)
    {
        var (from, every) = (result.GetValue(_resume), result.GetValue(_every));
        string? folder = result.GetValue(_save) ?? from;
        return every is not null && folder is null
            ? throw new CommandException("--save-every: got no --save, expected the folder to save in")
            : new JobSaving(folder, every ?? 0, from);
    }
}
