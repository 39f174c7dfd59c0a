// SPDX-License-Identifier: MIT
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Mezzo;

/// <summary>
/// The state of a <see cref="GradScaler"/>, with the keys of PyTorch's <c>state_dict</c>. That of a
/// disabled scaler is <see cref="Empty"/>.
/// </summary>
public sealed record GradScalerState
{
    /// <summary>The state of a disabled scaler: no keys at all.</summary>
    public static GradScalerState Empty { get; } = new();

    /// <summary>The loss scale.</summary>
    [JsonPropertyName("scale")]
    public double? Scale { get; init; }

    /// <summary>Factor of growth.</summary>
    [JsonPropertyName("growth_factor")]
    public double? GrowthFactor { get; init; }

    /// <summary>Factor after a step with Inf or NaN.</summary>
    [JsonPropertyName("backoff_factor")]
    public double? BackoffFactor { get; init; }

    /// <summary>Clean steps in a row before the scale grows.</summary>
    [JsonPropertyName("growth_interval")]
    public int? GrowthInterval { get; init; }

    /// <summary>Clean steps, as <see cref="GradScaler.GetGrowthTracker"/> counts them.</summary>
    [JsonPropertyName("_growth_tracker")]
    public int? GrowthTracker { get; init; }

    /// <summary>Overflows until the scale backs off, counting the one that makes it; null for a policy without hysteresis. Not one of PyTorch's keys.</summary>
    [JsonPropertyName("_hysteresis_tracker")]
    public int? HysteresisTracker { get; init; }

    /// <summary>Name of the policy, where its counters are not PyTorch's; null otherwise. Not one of PyTorch's keys.</summary>
    [JsonPropertyName("_policy")]
    public string? Policy { get; init; }

    /// <summary>Reads what <see cref="ToJson"/> wrote, or PyTorch's state dictionary as JSON.</summary>
    /// <exception cref="JsonException">The text is not a JSON object of these keys.</exception>
    public static GradScalerState FromJson(string json) =>
        JsonSerializer.Deserialize(json, GradScalerJson.Default.GradScalerState) ?? throw new JsonException("Expected the state of a GradScaler, got null.");

    /// <summary>The state as a JSON object with PyTorch's keys.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, GradScalerJson.Default.GradScalerState);
}

[JsonSourceGenerationOptions(
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(GradScalerState))]
internal sealed partial class GradScalerJson : JsonSerializerContext;
