// SPDX-License-Identifier: MIT
using System.Buffers.Binary;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Mezzo;

/// <summary>
/// The head of a safetensors file: the length of the header in 8 bytes, little-endian, and the header itself, a JSON object
/// that gives each tensor's dtype, shape and place among the bytes behind it.
/// </summary>
/// <remarks>
/// Source: the format's description and the checks of its reference implementation, github.com/huggingface/safetensors. What is
/// read may have been made by anyone, so that everything is checked against the size of the file before anything is
/// allocated by it.
/// </remarks>
internal sealed class SafeTensorsHeader
{
    private const int LengthBytes = 8;
    private const int MaxLength = 100_000_000; // as the reference implementation has it
    private const string MetadataKey = "__metadata__";

    private SafeTensorsHeader(IReadOnlyDictionary<string, string> metadata, IReadOnlyList<SafeTensorInfo> tensors, long dataStart) =>
        (Metadata, Tensors, DataStart) = (metadata, tensors, dataStart);

    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>In order of their bytes.</summary>
    public IReadOnlyList<SafeTensorInfo> Tensors { get; }

    /// <summary>Where the bytes begin that places are counted from.</summary>
    public long DataStart { get; }

    /// <summary>The header of tensors that are about to be written, widest elements first so that all are aligned to their size.</summary>
    public static SafeTensorsHeader Of(IEnumerable<KeyValuePair<string, Tensor>> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        var infos = new List<SafeTensorInfo>();
        long end = 0;
        foreach (var (name, tensor) in tensors.OrderByDescending(named => named.Value.DType.Size()))
        {
            if (name == MetadataKey)
            {
                throw new ArgumentException($"A tensor is named '{MetadataKey}', which the format has for itself.", nameof(tensors));
            }

            long begin = end;
            end += tensor.ElementCount * tensor.DType.Size();
            infos.Add(new SafeTensorInfo(name, SafeTensorsDType.Of(tensor.DType), tensor.Shape.ToArray(), begin, end));
        }

        return new SafeTensorsHeader(metadata, infos, dataStart: 0);
    }

    /// <summary>Writes length and header, padded so that the tensors' bytes begin at a multiple of 8.</summary>
    public void Write(Stream stream)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            Write(json);
        }

        while (buffer.Length % LengthBytes != 0)
        {
            buffer.WriteByte((byte)' ');
        }

        if (buffer.Length > MaxLength)
        {
            throw new InvalidOperationException($"The header of the file has {buffer.Length} bytes, expected at most {MaxLength}: there are too many tensors.");
        }

        Span<byte> length = stackalloc byte[LengthBytes];
        BinaryPrimitives.WriteInt64LittleEndian(length, buffer.Length);
        stream.Write(length);
        buffer.WriteTo(stream);
    }

    /// <summary>Reads and checks the head of a file.</summary>
    /// <param name="stream">The file, at its beginning.</param>
    /// <param name="file">Its name, for messages.</param>
    /// <exception cref="SavedFileException">It is no safetensors file, or not a whole one.</exception>
    public static SafeTensorsHeader Read(Stream stream, string file)
    {
        long size = stream.Length;
        SavedFileException Refuse(string reason, Exception? inner = null) => new(file, reason, inner);
        if (size < LengthBytes)
        {
            throw Refuse($"has {size} bytes, expected at least the {LengthBytes} that give the length of the header of a safetensors file");
        }

        Span<byte> lengthBytes = stackalloc byte[LengthBytes];
        stream.ReadExactly(lengthBytes);
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(lengthBytes);
        if (length > MaxLength || (long)length > size - LengthBytes)
        {
            throw Refuse($"the header's length is {length} bytes, expected at most {Math.Min(MaxLength, size - LengthBytes)}: no safetensors file, or a truncated one");
        }

        byte[] header = new byte[length];
        stream.ReadExactly(header);
        if (header is not [(byte)'{', ..])
        {
            throw Refuse("the header does not begin with '{': no safetensors file");
        }

        try
        {
            var (metadata, tensors) = new SafeTensorsHeaderParser(header).Parse();
            ExpectNoGaps(tensors, size - LengthBytes - (long)length);
            return new SafeTensorsHeader(metadata, tensors, LengthBytes + (long)length);
        }
        catch (FormatException exception)
        {
            throw Refuse(exception.Message, exception);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // The second is what text that is not UTF-8 gives.
            throw Refuse($"the header is not valid JSON: {exception.Message}", exception);
        }
    }

    /// <summary>Refuses bytes that belong to two tensors or to none.</summary>
    private static void ExpectNoGaps(List<SafeTensorInfo> tensors, long bytes)
    {
        tensors.Sort((a, b) => (a.Begin, a.End).CompareTo((b.Begin, b.End)));
        long end = 0;
        foreach (var tensor in tensors)
        {
            if (tensor.Begin != end)
            {
                throw new FormatException($"the tensor '{tensor.Name}' begins at byte {tensor.Begin}, expected {end}, where the one before ends: tensors overlap, or there is a hole");
            }

            end = tensor.End;
        }

        if (end != bytes)
        {
            throw new FormatException($"the tensors have {end} bytes, but {bytes} follow the header: truncated, or not a safetensors file");
        }
    }

    private void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        if (Metadata.Count > 0)
        {
            json.WriteStartObject(MetadataKey);
            foreach (var (key, value) in Metadata)
            {
                json.WriteString(key, value);
            }

            json.WriteEndObject();
        }

        foreach (var tensor in Tensors)
        {
            json.WriteStartObject(tensor.Name);
            json.WriteString("dtype", tensor.TypeName);
            WriteNumbers(json, "shape", tensor.Shape);
            WriteNumbers(json, "data_offsets", [tensor.Begin, tensor.End]);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    private static void WriteNumbers(Utf8JsonWriter json, string name, IReadOnlyList<long> numbers)
    {
        json.WriteStartArray(name);
        foreach (long number in numbers)
        {
            json.WriteNumberValue(number);
        }

        json.WriteEndArray();
    }
}
