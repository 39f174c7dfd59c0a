// SPDX-License-Identifier: MIT
using System.Text.Json;

namespace Mezzo;

/// <summary>The numbers and texts of a saved state: a JSON object with one of each part.</summary>
/// <param name="Step">Number of steps done.</param>
/// <param name="Parts">Values of the parts by name: texts and <see cref="SavedNumber"/>s.</param>
internal sealed record TrainingValues(long Step, IReadOnlyDictionary<string, Dictionary<string, object>> Parts)
{
    private const string Format = "mezzo training state";
    private const long FormatVersion = 1;
    private const long MaxBytes = 1 << 28; // far above what names and settings of any model have

    /// <summary>Writes the values of parts that are to be saved.</summary>
    public static void Write(Stream stream, long step, IEnumerable<SavedPart> parts)
    {
        using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        json.WriteString("format", Format);
        json.WriteNumber("version", FormatVersion);
        json.WriteNumber("step", step);
        json.WriteStartObject("parts");
        foreach (var part in parts)
        {
            part.WriteTo(json);
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <summary>Reads what <see cref="Write"/> wrote, or somebody made up.</summary>
    /// <exception cref="SavedFileException">It is something else.</exception>
    public static TrainingValues Read(Stream stream, string path)
    {
        if (stream.Length > MaxBytes)
        {
            throw new SavedFileException(path, $"has {stream.Length} bytes, expected at most {MaxBytes}");
        }

        try
        {
            using var json = JsonDocument.Parse(stream, new JsonDocumentOptions { MaxDepth = 4, AllowDuplicateProperties = false });
            return Read(json.RootElement) ?? throw new SavedFileException(path, $"is not a {Format} of version {FormatVersion}");
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // The second is what text that is not UTF-8 gives.
            throw new SavedFileException(path, $"is not valid JSON: {exception.Message}", exception);
        }
    }

    private static TrainingValues? Read(JsonElement root)
    {
        bool isOurs = root.ValueKind == JsonValueKind.Object
            && root.TryGetProperty("format", out var format) && format.ValueKind == JsonValueKind.String && format.GetString() == Format
            && root.TryGetProperty("version", out var version) && Number(version).Whole == FormatVersion;
        return isOurs
            && root.TryGetProperty("step", out var step) && Number(step).Whole is >= 0 and { } steps
            && root.TryGetProperty("parts", out var parts) && parts.ValueKind == JsonValueKind.Object
            && parts.EnumerateObject().All(part => part.Value.ValueKind == JsonValueKind.Object)
                ? new TrainingValues(steps, parts.EnumerateObject().ToDictionary(part => part.Name, part => Values(part.Value)))
                : null;
    }

    private static Dictionary<string, object> Values(JsonElement part) => part.EnumerateObject().ToDictionary(
        property => property.Name,
        property => property.Value.ValueKind == JsonValueKind.String ? property.Value.GetString()! : (object)Number(property.Value));

    private static SavedNumber Number(JsonElement value) => value.ValueKind != JsonValueKind.Number
        ? default
        : new SavedNumber(value.TryGetInt64(out long whole) ? whole : null, value.TryGetDouble(out double number) ? number : null);
}

/// <summary>A number in a saved state.</summary>
/// <param name="Whole">As a whole number; null where it is none.</param>
/// <param name="Value">As any number; null where the value is none.</param>
internal readonly record struct SavedNumber(long? Whole, double? Value);
