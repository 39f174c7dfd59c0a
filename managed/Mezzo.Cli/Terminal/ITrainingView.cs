// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Terminal;

/// <summary>Shows a training job while it runs.</summary>
internal interface ITrainingView
{
    /// <summary>Begins to show a run.</summary>
    /// <param name="name">What tells it from the job's other runs.</param>
    /// <param name="epochs">Its length.</param>
    /// <param name="done">Epochs of it that were done before, in a run that is resumed.</param>
    /// <returns>What to tell of each step.</returns>
    IProgress<StepResult> BeginRun(string name, int epochs, int done);
}
