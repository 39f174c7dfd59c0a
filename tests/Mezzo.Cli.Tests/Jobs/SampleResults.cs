// SPDX-License-Identifier: MIT
using Mezzo.Cli.Jobs;
using Mezzo.Cli.Jobs.SinCos;

namespace Mezzo.Cli.Tests.Jobs;

/// <summary>Results made up for tests of what is written from them.</summary>
internal static class SampleResults
{
    public static JobEnvironment Environment { get; } = new(
        "mezzo train sincos --out <a & b>", "0.1.0", "A processor", "avx2", "", "An operating system", DateTimeOffset.UnixEpoch);

    /// <summary>Losses that fall, with noise that no thinning shortens.</summary>
    public static double[] Losses(int count) =>
        [.. Enumerable.Range(0, count).Select(i => Math.Exp(-i * 9.0 / count) * (1 + (0.5 * Math.Sin(i * 12.9898))))];

    public static SinCosRun Run(Precision precision, IEnumerable<double> losses, double value = 0.5, bool skipping = false)
    {
        var steps = losses.Select((loss, i) => Step(i, loss, skipping && i % 3 == 0));
        double[] x = SinCosData.Spaced(401);
        double[] prediction = Array.ConvertAll(x, _ => value);
        return new SinCosRun(
            precision,
            precision == Precision.Float32 ? LossScaling.None : LossScaling.Dynamic,
            [.. steps],
            TimeSpan.FromSeconds(1.5),
            123_456_789,
            new CaptureStatus(CaptureState.Off, "capturing is switched off"),
            new SinCosPoints(x, prediction, prediction));
    }

    public static SinCosResult Result(int samples, int epochs, params SinCosRun[] runs)
    {
        double[] x = SinCosData.Spaced(samples);
        var data = new SinCosPoints(x, Array.ConvertAll(x, Math.Sin), Array.ConvertAll(x, Math.Cos));
        bool interrupted = Array.Exists(runs, run => run.Steps.Count < epochs);
        return new SinCosResult(new SinCosOptions { Epochs = epochs, Samples = samples }, 2, data, runs, interrupted);
    }

    private static StepResult Step(int step, double loss, bool skipped) => new(
        step,
        skipped ? StepOutcome.Skipped : StepOutcome.Applied,
        skipped ? SkipReason.NonFiniteGradients : SkipReason.None,
        Math.Pow(2, 16 - (step % 7)),
        loss);
}
