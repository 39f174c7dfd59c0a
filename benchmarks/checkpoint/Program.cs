// SPDX-License-Identifier: MIT
// Mezzo's side of `bench checkpoint`. Prints a JSON line that says what there is to measure, then answers each line of its
// input with another: `step I` runs a step at point I and says its seconds and its peak, `resident I` one and says by how many
// bytes the process grew in it.
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Mezzo;
using Mezzo.CheckpointBench;

if (args.Length != 6)
{
    Console.Error.WriteLine("Usage: CheckpointBench LAYERS WIDTH ROWS fp32|bf16 THREADS PLANS");
    return 2;
}

int layers = Number(0), width = Number(1), rows = Number(2);
Runtime.Threads = Number(4);
var json = new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };
using var step = new Step(layers, width, rows, isMixed: args[3] == "bf16");
var (points, profileSeconds) = Points(step, Number(5));
Answer(new
{
    Version = $"{Runtime.Version}, {Runtime.InstructionSets}",
    step.LiveBytes,
    step.GradientBytes,
    ProfileSeconds = profileSeconds,
    Points = points.ConvertAll(point => new
    {
        point.Name,
        step.Run(point.Plan).PeakBytes,
        PredictedPeakBytes = point.Plan?.PredictedPeakBytes,
        PredictedSeconds = point.Plan?.PredictedSeconds,
        PredictedRecomputeSeconds = point.Plan?.RecomputeSeconds,
    }),
});

while (Console.ReadLine() is { } line)
{
    string[] words = line.Split(' ');
    var plan = points[int.Parse(words[1], CultureInfo.InvariantCulture)].Plan;
    if (words[0] == "step")
    {
        var (seconds, peakBytes) = step.Run(plan);
        Answer(new { Seconds = seconds, PeakBytes = peakBytes });
    }
    else
    {
        Answer(new { Bytes = Resident.Growth(() => step.Run(plan)) });
    }
}

return 0;

int Number(int index) => int.Parse(args[index], CultureInfo.InvariantCulture);

void Answer<T>(T answer) => Console.WriteLine(JsonSerializer.Serialize(answer, json));

// Without a plan, then plans of the curve: those that the goals ask for and others, as many as are wanted in all.
static (List<(string Name, CheckpointPlan? Plan)> Points, double Seconds) Points(Step step, int count)
{
    const double MostTimes = 2; // plans that take more are of no use, and last for minutes
    double[] goals = [0.4, 0.2]; // shares of the activations, of which a plan is to stay just below
    step.Run(null);
    var (_, peakBytes) = step.Run(null);
    long start = Stopwatch.GetTimestamp();
    var profile = step.Profile();
    double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;

    long others = step.LiveBytes + step.GradientBytes;
    CheckpointPlan[] curve = [.. profile.Curve.Where(plan => plan.PredictedSeconds <= MostTimes * profile.Fastest().PredictedSeconds)];
    var plans = goals.Select(share => others + (long)(0.999 * share * (peakBytes - others)))
        .Where(profile.WillFit)
        .Select(profile.ForBudget)
        .Union(EvenlySpaced(curve, count))
        .OrderBy(plan => plan.PredictedPeakBytes)
        .Select((plan, i) => ($"plan {i + 1}, {plan.Regions} regions", (CheckpointPlan?)plan));
    return ([("none", null), .. plans], seconds);
}

// The plans nearest to peaks at equal distances, the ends included.
static IEnumerable<CheckpointPlan> EvenlySpaced(IReadOnlyList<CheckpointPlan> curve, int count)
{
    long least = curve[0].PredictedPeakBytes, most = curve[^1].PredictedPeakBytes;
    return Enumerable.Range(0, count)
        .Select(i => least + ((most - least) * i / Math.Max(1, count - 1)))
        .Select(bytes => curve.MinBy(plan => Math.Abs(plan.PredictedPeakBytes - bytes))!)
        .Distinct();
}
