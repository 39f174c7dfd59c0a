// SPDX-License-Identifier: MIT
using System.Text.Json;
using Mezzo.Cli.Jobs.Checkpointing;

namespace Mezzo.Cli.Jobs.SinCos.Plan;

/// <summary>The plans for other programs.</summary>
internal static class SinCosPlanJson
{
    public static void Write(Stream stream, SinCosPlanResult result)
    {
        using var json = new Utf8JsonWriter(stream);
        json.WriteStartObject();
        json.WriteString("job", "plan sincos");
        json.WriteString("device", result.Options.Device.ToString());
        json.WriteNumber("threads", result.Threads);
        json.WriteString("precision", result.Precision);
        json.WriteNumber("samples", result.Options.Samples);
        json.WriteNumber("hidden", result.Options.Hidden);
        json.WriteNumber("layers", result.Options.Layers);
        json.WriteBoolean("fits_keeping_all", result.Fits);
        Write(json, "uncheckpointed", result.Uncheckpointed);
        Write(json, "chosen", result.Chosen);
        json.WriteStartArray("curve");
        foreach (var step in result.Curve)
        {
            Write(json, step);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, string name, PlannedStep step)
    {
        json.WritePropertyName(name);
        Write(json, step);
    }

    private static void Write(Utf8JsonWriter json, PlannedStep step)
    {
        json.WriteStartObject();
        json.WriteNumber("peak_bytes", step.PeakBytes);
        json.WriteNumber("activation_bytes", step.ActivationBytes);
        json.WriteNumber("seconds", step.Seconds);
        json.WriteNumber("recompute_seconds", step.RecomputeSeconds);
        json.WriteNumber("wait_seconds", step.WaitSeconds);
        json.WriteNumber("regions", step.Regions);
        json.WriteNumber("offloaded_bytes", step.OffloadedBytes);
        json.WriteEndObject();
    }
}
