// SPDX-License-Identifier: MIT
using System.Text.Json;
using Mezzo.Cli.Report;

namespace Mezzo.Cli.Jobs.SinCos;

/// <summary>The job's result for other programs.</summary>
internal static class SinCosJson
{
    public static void Write(Stream stream, SinCosResult result)
    {
        using var json = new Utf8JsonWriter(stream);
        json.WriteStartObject();
        json.WriteString("job", "sincos");
        json.WriteString("device", result.Options.Device.ToString());
        json.WriteNumber("threads", result.Threads);
        json.WriteStartArray("runs");
        foreach (var run in result.Runs)
        {
            Write(json, run);
        }

        json.WriteEndArray();
        json.WriteNumberOrNull("speedup", result.Speedup);
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, SinCosRun run)
    {
        json.WriteStartObject();
        json.WriteString("precision", run.Name);
        json.WriteNumber("epochs", run.Steps.Count);
        json.WriteNumber("seconds", run.Seconds);
        WriteNumbers(json, "losses", run.Losses);
        json.WriteNumber("skipped_steps", run.SkippedSteps);
        WriteNumbers(json, "scales", run.Scales);
        WriteNumbers(json, "grad_norms", run.GradNorms);
        json.WriteStartArray("skips");
        foreach (var step in run.Skips)
        {
            json.WriteStartObject();
            json.WriteNumber("epoch", step.Step);
            json.WriteString("reason", Format.Reason(step.Reason));
            json.WriteNumberOrNull("scale", step.Scale);
            json.WriteNumber("infs", step.Gradients?.Infs ?? 0);
            json.WriteNumber("nans", step.Gradients?.NaNs ?? 0);
            json.WriteString("first_in", step.Gradients?.FirstNonFinite);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumber("peak_bytes", run.PeakBytes);
        json.WriteNumberOrNull("activation_bytes", run.Planned?.ActivationBytes);
        json.WriteNumberOrNull("predicted_peak_bytes", run.Planned?.PeakBytes);
        json.WriteNumberOrNull("recompute_seconds", run.Planned?.RecomputeSeconds);
        json.WriteBoolean("captured", run.IsCaptured);
        json.WriteEndObject();
    }

    private static void WriteNumbers(Utf8JsonWriter json, string name, IEnumerable<double> values)
    {
        json.WriteStartArray(name);
        foreach (double value in values)
        {
            json.WriteNumberOrNull(value);
        }

        json.WriteEndArray();
    }
}
