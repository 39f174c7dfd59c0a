// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Terminal;

/// <summary>Chooses how a job is shown, and shows it.</summary>
internal static class TrainingView
{
    /// <summary>Runs a job: under a live progress bar on a terminal, with plain lines elsewhere, silently if asked to.</summary>
    public static T Show<T>(TerminalOutput terminal, bool quiet, Func<ITrainingView, T> job)
    {
        if (quiet)
        {
            return job(new QuietView());
        }

        return terminal.Live is null
            ? job(new LineView(terminal.Output.WriteLine))
            : LiveView.Show(terminal.Live, job);
    }

    private sealed class QuietView : ITrainingView, IProgress<StepResult>
    {
        public IProgress<StepResult> BeginRun(string name, int epochs, int done) => this;

        public void Report(StepResult value)
        {
        }
    }
}
