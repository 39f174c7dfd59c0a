// SPDX-License-Identifier: MIT
using System.Text.Json;

namespace Mezzo;

/// <summary>Reads the JSON of a safetensors header and checks each tensor by itself.</summary>
/// <remarks>
/// Token by token: a header may have a hundred million bytes, and nothing but what the format knows is kept. Throws
/// <see cref="FormatException"/> with a sentence, or what the JSON reader throws.
/// </remarks>
internal ref struct SafeTensorsHeaderParser(ReadOnlySpan<byte> header)
{
    private Utf8JsonReader _json = new(header, new JsonReaderOptions { MaxDepth = 4 });

    public (IReadOnlyDictionary<string, string> Metadata, List<SafeTensorInfo> Tensors) Parse()
    {
        var metadata = new Dictionary<string, string>();
        var tensors = new List<SafeTensorInfo>();
        var names = new HashSet<string>();
        Expect(JsonTokenType.StartObject, "the header");
        while (NextName("the header") is { } name)
        {
            if (!names.Add(name))
            {
                throw new FormatException($"the header has the name '{name}' twice");
            }

            if (name == "__metadata__")
            {
                ParseMetadata(metadata);
            }
            else
            {
                tensors.Add(ParseTensor(name));
            }
        }

        if (_json.Read())
        {
            throw new FormatException("the header goes on after its object");
        }

        return (metadata, tensors);
    }

    private void ParseMetadata(Dictionary<string, string> metadata)
    {
        Expect(JsonTokenType.StartObject, "the metadata");
        while (NextName("the metadata") is { } key)
        {
            Expect(JsonTokenType.String, $"the metadata '{key}'");
            if (!metadata.TryAdd(key, _json.GetString()!))
            {
                throw new FormatException($"the metadata has the name '{key}' twice");
            }
        }
    }

    private SafeTensorInfo ParseTensor(string name)
    {
        string what = $"the tensor '{name}'";
        string? type = null;
        List<long>? shape = null;
        List<long>? offsets = null;
        Expect(JsonTokenType.StartObject, what);
        while (NextName(what) is { } key)
        {
            bool isNew = key switch
            {
                "dtype" => type is null,
                "shape" => shape is null,
                "data_offsets" => offsets is null,
                _ => throw new FormatException($"{what} has the key '{key}', expected dtype, shape and data_offsets"),
            };
            if (!isNew)
            {
                throw new FormatException($"{what} has the key '{key}' twice");
            }

            switch (key)
            {
                case "dtype":
                    Expect(JsonTokenType.String, $"the dtype of {what}");
                    type = _json.GetString();
                    break;
                case "shape":
                    shape = ParseNumbers($"the shape of {what}");
                    break;
                default:
                    offsets = ParseNumbers($"data_offsets of {what}");
                    break;
            }
        }

        return type is null ? throw Lacks("dtype") : shape is null ? throw Lacks("shape") : offsets is null ? throw Lacks("data_offsets") : Checked(name, type, shape, offsets);

        FormatException Lacks(string key) => new($"{what} has no {key}");
    }

    private static SafeTensorInfo Checked(string name, string typeName, List<long> shape, List<long> offsets)
    {
        string what = $"the tensor '{name}'";
        var type = SafeTensorsDType.Find(typeName) ?? throw new FormatException($"{what} has the dtype '{typeName}', which the format does not know");
        if (offsets.Count != 2 || offsets[0] > offsets[1])
        {
            throw new FormatException($"data_offsets of {what} are [{string.Join(',', offsets.Take(3))}], expected where it begins and where it ends");
        }

        // As wide as no product of two longs can leave; one dimension of 0 makes up for any others.
        Int128 bytes = shape.Contains(0) ? 0 : type.Size;
        foreach (long dimension in bytes == 0 ? [] : shape)
        {
            bytes *= dimension;
            if (bytes > long.MaxValue)
            {
                throw new FormatException($"the shape of {what} has more bytes than there are");
            }
        }

        long given = offsets[1] - offsets[0];
        return bytes == given
            ? new SafeTensorInfo(name, type, shape, offsets[0], offsets[1])
            : throw new FormatException($"{what} has {given} bytes by its data_offsets, expected {bytes} for {typeName}[{string.Join(',', shape)}]");
    }

    private List<long> ParseNumbers(string what)
    {
        var numbers = new List<long>();
        Expect(JsonTokenType.StartArray, what);
        while (_json.Read() && _json.TokenType != JsonTokenType.EndArray)
        {
            if (_json.TokenType != JsonTokenType.Number || !_json.TryGetInt64(out long number) || number < 0)
            {
                throw new FormatException($"{what} holds something else than whole numbers from 0 to 2^63 - 1");
            }

            numbers.Add(number);
        }

        return numbers;
    }

    /// <summary>The next name within an object; null at its end.</summary>
    private string? NextName(string what) =>
        !_json.Read() ? throw new FormatException($"{what} has no end")
            : _json.TokenType == JsonTokenType.EndObject ? null
            : _json.GetString();

    private void Expect(JsonTokenType type, string what)
    {
        if (!_json.Read() || _json.TokenType != type)
        {
            throw new FormatException($"{what} is a JSON {_json.TokenType}, expected {type}");
        }
    }
}
