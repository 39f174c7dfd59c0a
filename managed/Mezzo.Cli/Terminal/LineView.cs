// SPDX-License-Identifier: MIT
using Mezzo.Cli.Report;

namespace Mezzo.Cli.Terminal;

/// <summary>Writes a line with the loss every 20 epochs, and one for each skipped step that follows one that was not.</summary>
/// <param name="write">Takes one line.</param>
internal sealed class LineView(Action<string> write) : ITrainingView
{
    private const int LogEvery = 20;

    public IProgress<StepResult> BeginRun(string name, int epochs, int done)
    {
        if (done > 0)
        {
            write($"{name}  resumed after {Format.Count(done, "epoch")}");
        }

        return new Run(name, epochs, write);
    }

    private sealed class Run(string name, int epochs, Action<string> write) : IProgress<StepResult>
    {
        private bool _skipping;

        public void Report(StepResult value)
        {
            bool skipped = value.Outcome == StepOutcome.Skipped;
            if (skipped && !_skipping)
            {
                write($"{Prefix(value)}  step skipped: {Format.Reason(value.Reason)}");
            }
            else if (value.Step % LogEvery == 0 || value.Step == epochs - 1)
            {
                write(Prefix(value));
            }

            _skipping = skipped;
        }

        private string Prefix(StepResult step)
        {
            string epoch = Format.Count(step.Step).PadLeft(Format.Count(epochs).Length);
            string scale = step.Scale == 1 ? "" : $"  scale {Format.Scale(step.Scale)}";
            return $"{name}  epoch {epoch}  loss {Format.Loss(step.Loss)}{scale}";
        }
    }
}
