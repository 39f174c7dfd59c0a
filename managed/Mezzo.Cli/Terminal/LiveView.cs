// SPDX-License-Identifier: MIT
using Mezzo.Cli.Report;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Mezzo.Cli.Terminal;

/// <summary>A progress bar for each run below the lines of the log.</summary>
internal sealed class LiveView : ITrainingView
{
    private const string LastStep = "step";

    /// <summary>Redrawing takes time from the training, so it happens no more often than the eye wants.</summary>
    private static readonly TimeSpan RefreshRate = TimeSpan.FromMilliseconds(200);

    private readonly ProgressContext _context;
    private readonly LineView _lines;

    private LiveView(ProgressContext context, IAnsiConsole console)
    {
        _context = context;
        _lines = new LineView(line => console.WriteLine(line));
    }

    public static T Show<T>(IAnsiConsole console, Func<ITrainingView, T> job)
    {
        var progress = new Progress(console) { RefreshRate = RefreshRate };
        progress.Columns(
            new TaskDescriptionColumn(),
            new ProgressBarColumn { Width = 24 },
            new StepColumn("epoch", (task, _) => $"{Format.Count((long)task.Value)}/{Format.Count((long)task.MaxValue)}"),
            new StepColumn("loss", (_, step) => Format.Loss(step.Loss)),
            new StepColumn("scale", (_, step) => Format.Scale(step.Scale)),
            new StepColumn("", (task, _) => task.Speed is { } speed ? $"{Format.Rate(speed)} epochs/s" : ""),
            new StepColumn("", (task, _) => task.IsFinished ? "" : task.RemainingTime is { } left ? $"{left:h\\:mm\\:ss} left" : ""));
        return progress.Start(context => job(new LiveView(context, console)));
    }

    public IProgress<StepResult> BeginRun(string name, int epochs, int done)
    {
        var task = _context.AddTask(name, maxValue: epochs);
        task.Value = done;
        return new Run(task, _lines.BeginRun(name, epochs, done));
    }

    private sealed class Run(ProgressTask task, IProgress<StepResult> lines) : IProgress<StepResult>
    {
        public void Report(StepResult value)
        {
            lines.Report(value);
            task.State.Update<StepResult>(LastStep, _ => value);
            task.Increment(1);
        }
    }

    /// <summary>A figure of the run's last step.</summary>
    private sealed class StepColumn(string label, Func<ProgressTask, StepResult, string> figure) : ProgressColumn
    {
        protected override bool NoWrap => true;

        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) =>
            new Text(task.Value > 0 ? $"{label} {figure(task, task.State.Get<StepResult>(LastStep))}".TrimStart() : "");
    }
}
