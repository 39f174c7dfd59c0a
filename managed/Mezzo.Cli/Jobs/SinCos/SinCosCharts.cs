// SPDX-License-Identifier: MIT
using System.Xml.Linq;
using Mezzo.Cli.Report;

namespace Mezzo.Cli.Jobs.SinCos;

/// <summary>The figures of the job's report.</summary>
internal sealed class SinCosCharts(SinCosResult result)
{
    /// <summary>Dots enough to show the data; being shuffled, the first ones stand for all.</summary>
    private const int MaxDots = 1200;

    private const double TallHeight = 260;
    private const double FlatHeight = 150;
    private const int TrendPoints = 200;

    /// <summary>Fewer epochs than this are drawn as they are, without a trend.</summary>
    private const int TrendEpochs = 100;

    private static readonly LinearAxis XAxis = LinearAxis.Fixed(
        "x",
        -SinCosData.Bound,
        SinCosData.Bound,
        (-SinCosData.Bound, "−2π"),
        (-Math.PI, "−π"),
        (0, "0"),
        (Math.PI, "π"),
        (SinCosData.Bound, "2π"));

    private static readonly LinearAxis YAxis = LinearAxis.Fixed(
        "y", -1.25, 1.25, (-1, "−1"), (-0.5, "−0.5"), (0, "0"), (0.5, "0.5"), (1, "1"));

    private IReadOnlyList<SinCosRun> Runs => result.Runs;

    private string RunNames => string.Join(" and ", Runs.Select(run => run.Name));

    /// <summary>The data, and both networks' predictions over it.</summary>
    public XElement Fit() => Html.Figure(
        $"The data ({Format.Count(Math.Min(MaxDots, result.Data.X.Count))} of {Format.Count(result.Data.X.Count)} points are drawn) " +
            "and what the trained network predicts.",
        Html.Legend([(SeriesKind.Dots, 0, "data"), .. Runs.Select((run, i) => (SeriesKind.Line, i + 1, run.Name))]),
        Html.Panel("sin x", FitChart("sin", "Sine", result.Data.Sin, run => run.Prediction.Sin)),
        Html.Panel("cos x", FitChart("cos", "Cosine", result.Data.Cos, run => run.Prediction.Cos)));

    /// <summary>How far the predictions are off, which the eye cannot see over the data.</summary>
    public XElement Errors() => Html.Figure(
        "The prediction less the true function. The band is the noise of the data, ±0.01, which no network can foresee.",
        Html.Legend([.. Runs.Select((run, i) => (SeriesKind.Line, i + 1, run.Name))]),
        Html.Panel("error of sin x", ErrorChart("sin-error", "sine", SinErrors)),
        Html.Panel("error of cos x", ErrorChart("cos-error", "cosine", CosErrors)));

    /// <summary>The loss of every epoch on a logarithmic axis.</summary>
    public XElement Loss()
    {
        bool hasNonFinite = Runs.Any(run => run.FirstNonFinite is not null);
        var y = LogAxis.Fit("loss, log scale", Runs.SelectMany(run => run.Losses));
        var series = Runs.SelectMany((run, i) => LossSeries(run, i + 1))
            .Concat(Runs.Select((run, i) => EventMarks(run, i + 1, step => !double.IsFinite(step.Loss), _ => y.Max)))
            .OrderBy(one => one.Kind == SeriesKind.Faint ? 0 : 1)
            .ToArray();
        string caption = "Mean squared error of sine and cosine together, at every epoch" +
            (Runs.Any(HasTrend) ? $" (faint), and its running median ({string.Join(", ", Runs.Where(HasTrend).Select(Dashes))})." : ".") +
            (hasNonFinite ? " Dots mark epochs whose loss was not a finite number." : "");
        var frame = new ChartFrame(
            "loss",
            "Loss at each epoch",
            string.Join(" ", Runs.Select(run => $"The smallest loss of {run.Name} is {Format.Loss(run.SmallestLoss)}.")),
            TallHeight);
        return Html.Figure(caption, null, XyChart.Draw(frame, EpochAxis(), y, series));
    }

    /// <summary>The loss scale, with every skipped step marked.</summary>
    public XElement LossScale()
    {
        var scaled = Runs.Select((run, i) => (Run: run, Color: i + 1))
            .Where(one => one.Run.Scaling != LossScaling.None || one.Run.SkippedSteps > 0)
            .ToArray();
        if (scaled.Length == 0)
        {
            return Html.Classed("p", "note", $"There is no loss scale to show: {RunNames} ran without one, and no step was skipped.");
        }

        var y = LogAxis.Fit("loss scale, log scale", scaled.SelectMany(one => one.Run.Scales), logBase: 2);
        var lines = scaled.Select(one => new Series(SeriesKind.Step, one.Color, Thinning.MinMax(one.Run.Scales), one.Run.Name));
        var marks = scaled.Select(one => EventMarks(one.Run, one.Color, step => step.Outcome == StepOutcome.Skipped, step => step.Scale));
        string skipped = string.Join(", ", scaled.Select(one => $"{one.Run.Name} skipped {Format.Count(one.Run.SkippedSteps, "step")}"));
        var frame = new ChartFrame("scale", "Loss scale at each epoch", $"{skipped}.", FlatHeight);
        return Html.Figure(
            $"The factor by which the loss was multiplied. Dots mark skipped steps: {skipped}.",
            null,
            XyChart.Draw(frame, EpochAxis(), y, [.. lines, .. marks]));
    }

    /// <summary>How large the gradients were, and how much of the 16-bit range the loss scale made them use.</summary>
    public XElement Gradients()
    {
        XElement Chart(string id, string title, string label, Func<SinCosRun, IReadOnlyList<double>> values) => XyChart.Draw(
            new ChartFrame(id, title, $"{title} of {RunNames}.", FlatHeight),
            EpochAxis(),
            LogAxis.Fit(label, Runs.SelectMany(values), logBase: id == "grad-norm" ? 10 : 2),
            [.. Runs.Select((run, i) => new Series(SeriesKind.Line, i + 1, Thinning.MinMax(values(run)), run.Name))]);

        return Html.Figure(
            "The norm of all gradients, without the loss scale, and the largest single gradient as it was computed, with it. " +
                "f16 ends at 2^16, and below 2^-14 it loses bits.",
            Html.Legend([.. Runs.Select((run, i) => (SeriesKind.Line, i + 1, run.Name))]),
            Html.Panel("norm", Chart("grad-norm", "Norm of the gradients", "norm, log scale", run => run.GradNorms)),
            Html.Panel("largest", Chart("grad-largest", "Largest gradient", "size, log scale", run => [.. run.LargestExponents.Select(double.Exp2)])));
    }

    /// <summary>Time and peak memory of each run.</summary>
    public XElement Cost() => Html.Figure(
        "Time of the training loop alone, and the most bytes of tensors that were live at once.",
        null,
        Html.Panel("time", Bars("time", "Time of training", run => run.Seconds, run => Format.Seconds(run.Seconds))),
        Html.Panel("peak memory", Bars("memory", "Peak memory", run => run.PeakBytes, run => Format.Bytes(run.PeakBytes))));

    private static bool HasTrend(SinCosRun run) => run.Steps.Count >= TrendEpochs;

    private static IReadOnlyList<Point> Zip(IReadOnlyList<double> x, IEnumerable<double> y) => [.. x.Zip(y, (a, b) => new Point(a, b))];

    private static IReadOnlyList<Point> SinErrors(SinCosRun run) => Errors(run, run.Prediction.Sin, Math.Sin);

    private static IReadOnlyList<Point> CosErrors(SinCosRun run) => Errors(run, run.Prediction.Cos, Math.Cos);

    private static IReadOnlyList<Point> Errors(SinCosRun run, IReadOnlyList<double> predicted, Func<double, double> truth) =>
        Zip(run.Prediction.X, run.Prediction.X.Zip(predicted, (x, value) => value - truth(x)));

    private static double Largest(IEnumerable<Point> errors) =>
        errors.Where(error => error.IsFinite).Select(error => Math.Abs(error.Y)).DefaultIfEmpty(0).Max();

    private static IEnumerable<Series> LossSeries(SinCosRun run, int color)
    {
        var losses = Thinning.MinMax(run.Losses);
        if (!HasTrend(run))
        {
            return [new Series(SeriesKind.Line, color, losses, run.Name)];
        }

        int window = run.Losses.Count / 50;
        return
        [
            new Series(SeriesKind.Faint, color, losses),
            new Series(SeriesKind.Line, color, Thinning.RollingMedian(run.Losses, window, TrendPoints), run.Name),
        ];
    }

    private static Series EventMarks(SinCosRun run, int color, Func<StepResult, bool> isEvent, Func<StepResult, double> height)
    {
        int[] events = [.. Enumerable.Range(0, run.Steps.Count).Where(i => isEvent(run.Steps[i]))];
        return new Series(
            SeriesKind.Marks, color, [.. Thinning.Spread(events, Svg.Width / 2).Select(i => new Point(i, height(run.Steps[i])))]);
    }

    private string Dashes(SinCosRun run) => $"{run.Name} {(Runs[0] == run ? "solid" : "dashed")}";

    private LinearAxis EpochAxis() => LinearAxis.Steps("epoch", Runs.Max(run => run.Steps.Count));

    private XElement FitChart(string id, string name, IReadOnlyList<double> data, Func<SinCosRun, IReadOnlyList<double>> predicted)
    {
        var frame = new ChartFrame(
            id,
            $"{name}: data and predictions",
            $"Data points of the {name.ToLowerInvariant()} and, over them, the predictions of {RunNames}.",
            TallHeight);
        return XyChart.Draw(
            frame,
            XAxis,
            YAxis,
            [
                new Series(SeriesKind.Dots, 0, Zip([.. result.Data.X.Take(MaxDots)], data)),
                .. Runs.Select((run, i) => new Series(SeriesKind.Line, i + 1, Zip(run.Prediction.X, predicted(run)))),
            ]);
    }

    private XElement ErrorChart(string id, string name, Func<SinCosRun, IReadOnlyList<Point>> errors)
    {
        // Both panels share an axis, so that they can be compared.
        var all = Runs.SelectMany(run => SinErrors(run).Concat(CosErrors(run)));
        double largest = Largest(all);
        var y = LinearAxis.Fit("error", [-largest, largest, -SinCosData.Noise, SinCosData.Noise], 4);
        var frame = new ChartFrame(
            id,
            $"Error of the {name}",
            string.Join(" ", Runs.Select(run => $"The largest error of the {name} in {run.Name} is {Format.Loss(Largest(errors(run)))}.")),
            FlatHeight);
        var lines = Runs.Select((run, i) => new Series(SeriesKind.Line, i + 1, errors(run)));
        return XyChart.Draw(frame, XAxis, y, [.. lines], band: (-SinCosData.Noise, SinCosData.Noise));
    }

    private XElement Bars(string id, string title, Func<SinCosRun, double> value, Func<SinCosRun, string> label) => BarChart.Draw(
        id,
        title,
        string.Join(", ", Runs.Select(run => $"{run.Name}: {label(run)}")) + ".",
        [.. Runs.Select((run, i) => new Bar(run.Name, i + 1, value(run), label(run)))]);
}
