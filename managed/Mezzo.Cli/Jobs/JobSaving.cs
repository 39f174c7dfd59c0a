// SPDX-License-Identifier: MIT
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Jobs;

/// <summary>Where a job saves the states of its runs, each in a folder of its own, and where it goes on from.</summary>
/// <param name="Folder">Where it saves; null for nowhere.</param>
/// <param name="Every">Steps between two saves; 0 saves at the end of a run alone.</param>
/// <param name="From">Where it goes on from; null where it begins.</param>
internal sealed record JobSaving(string? Folder = null, int Every = 0, string? From = null)
{
    /// <summary>Where a run is saved.</summary>
    public string? FolderOf(string run) => Folder is null ? null : Path.Combine(Folder, run);

    /// <summary>Where a run goes on from; null where it begins.</summary>
    public string? FromOf(string run) => From is not null && TrainingState.Exists(Path.Combine(From, run)) ? Path.Combine(From, run) : null;

    /// <summary>Checks that there is something to go on from, and that nothing of another job is where this one saves.</summary>
    /// <param name="runs">The job's runs, in order.</param>
    /// <exception cref="CommandException">It is not so, or the folder cannot be written.</exception>
    public void Prepare(IReadOnlyList<string> runs)
    {
        if (From is not null && FromOf(runs[0]) is null)
        {
            string[] others = Directory.Exists(From)
                ? [.. Directory.GetDirectories(From).Where(TrainingState.Exists).Select(folder => Path.GetFileName(folder)).Order(StringComparer.Ordinal)]
                : [];
            throw new CommandException(others.Length == 0
                ? $"--resume: {From} holds no saved state, expected the folder of an earlier --save"
                : $"--resume: {From} holds a run in {string.Join(" and ", others)}, expected one in {runs[0]}: --precision is another one");
        }

        if (Folder is null)
        {
            return;
        }

        bool goesOn = From is not null && Path.GetFullPath(From) == Path.GetFullPath(Folder);
        if (!goesOn && runs.Any(run => TrainingState.Exists(FolderOf(run)!)))
        {
            throw new CommandException($"--save: {Folder} holds saved states already, expected another folder, or --resume {Folder} to go on from them");
        }

        OutputFile.PrepareFolder("--save", Folder);
    }

    /// <summary>Runs the job, whose saved states are all that it writes.</summary>
    /// <exception cref="CommandException">They can no longer be written.</exception>
    public T Run<T>(Func<T> job)
    {
        try
        {
            return job();
        }
        catch (Exception exception) when (Folder is not null && exception is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"--save: cannot write {Folder}: {exception.Message}", ExitCode.Failure);
        }
    }
}
