// SPDX-License-Identifier: MIT
using Mezzo.Cli.Terminal;
using Spectre.Console;

namespace Mezzo.Cli.Tests.Terminal;

public sealed class TrainingViewTests
{
    [Test]
    public void Lines_ComeEvery20Epochs_AndAtTheEnd()
    {
        var lines = Show(live: null, Enumerable.Range(0, 50).Select(i => Step(i)));

        Assert.That(lines, Is.EqualTo(new[]
        {
            "bf16  epoch  0  loss 5.00e-1", "bf16  epoch 20  loss 5.00e-1", "bf16  epoch 40  loss 5.00e-1", "bf16  epoch 49  loss 5.00e-1",
        }));
    }

    [Test]
    public void SkippedSteps_AreTold_OncePerStretch()
    {
        var lines = Show(live: null, Enumerable.Range(0, 12).Select(i => Step(i, scale: 1024, skipped: i is 5 or 6 or 7 or 9)));

        Assert.That(lines, Is.EqualTo(new[]
        {
            "bf16  epoch  0  loss 5.00e-1  scale 1,024",
            "bf16  epoch  5  loss 5.00e-1  scale 1,024  step skipped: gradients with Inf or NaN",
            "bf16  epoch  9  loss 5.00e-1  scale 1,024  step skipped: gradients with Inf or NaN",
        }));
    }

    [Test]
    public void LiveView_DrawsTheBarWithItsFigures_AndTheSameLines()
    {
        using var drawn = new StringWriter();
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.Yes,
            Interactive = InteractionSupport.Yes,
            Out = new AnsiConsoleOutput(drawn),
        });
        console.Profile.Width = 160;

        Show(console, Enumerable.Range(0, 50).Select(i => Step(i, scale: 65536)));

        Assert.That(
            drawn.ToString(),
            Does.Contain("epoch 50/50").And.Contain("loss 5.00e-1").And.Contain("scale 65,536").And.Contain("bf16  epoch 20  loss 5.00e-1"));
    }

    private static StepResult Step(int step, double scale = 1, bool skipped = false) => new(
        step,
        skipped ? StepOutcome.Skipped : StepOutcome.Applied,
        skipped ? SkipReason.NonFiniteGradients : SkipReason.None,
        scale,
        0.5);

    private static string[] Show(IAnsiConsole? live, IEnumerable<StepResult> steps)
    {
        using var output = new StringWriter { NewLine = "\n" };
        TrainingView.Show(new TerminalOutput(output, TextWriter.Null, live), quiet: false, view =>
        {
            var progress = view.BeginRun("bf16", 50, done: 0);
            foreach (var step in steps)
            {
                progress.Report(step);
            }

            return 0;
        });
        return output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }
}
