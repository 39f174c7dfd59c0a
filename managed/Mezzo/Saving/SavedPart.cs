// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text.Json;

namespace Mezzo;

/// <summary>The state of one part of a training run: numbers, texts and tensors by name.</summary>
public sealed class SavedPart
{
    private readonly OrderedDictionary<string, object> _values = [];
    private readonly OrderedDictionary<string, Tensor> _tensors = [];
    private readonly HashSet<string> _unread = [];
    private readonly IReadOnlyDictionary<Parameter, string> _names;
    private readonly SafeTensorsFile? _file;
    private readonly string _path;
    private readonly string _name;

    /// <summary>A part that is to be saved.</summary>
    internal SavedPart(string name, IReadOnlyDictionary<Parameter, string> names) => (_name, _path, _names) = (name, "", names);

    /// <summary>A part that was saved.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="path">The file that its numbers and texts are from.</param>
    /// <param name="values">These.</param>
    /// <param name="file">The file of its tensors, and of those of others.</param>
    /// <param name="names">Names of the parameters.</param>
    internal SavedPart(string name, string path, IReadOnlyDictionary<string, object> values, SafeTensorsFile file, IReadOnlyDictionary<Parameter, string> names)
        : this(name, names)
    {
        (_path, _file) = (path, file);
        foreach (var (key, value) in values)
        {
            _values.Add(key, value);
        }

        _unread.UnionWith(_values.Keys);
        _unread.UnionWith(file.Tensors.Keys.Where(key => key.StartsWith(TensorPrefix, StringComparison.Ordinal)).Select(key => key[TensorPrefix.Length..]));
    }

    /// <summary>What comes before the names of the part's tensors in the file.</summary>
    internal string TensorPrefix => $"{_name}.";

    /// <summary>The tensors that the part is to save.</summary>
    internal IReadOnlyDictionary<string, Tensor> Tensors => _tensors;

    /// <summary>Writes a whole number.</summary>
    public void Write(string key, long value) => _values.Add(key, value);

    /// <summary>Writes a number; all of its bits are kept, but for which NaN it is.</summary>
    public void Write(string key, double value) => _values.Add(key, value);

    /// <summary>Writes a text.</summary>
    public void Write(string key, string value) => _values.Add(key, value);

    /// <summary>Writes a tensor, whose elements are read when the file is written.</summary>
    public void Write(string key, Tensor tensor) => _tensors.Add(key, tensor);

    /// <summary>Reads a whole number.</summary>
    /// <param name="key">Its name.</param>
    /// <param name="least">The smallest that it may be.</param>
    /// <exception cref="SavedFileException">There is none of that name.</exception>
    public long ReadInt64(string key, long least = long.MinValue) =>
        Value(key, "a whole number") is SavedNumber { Whole: { } number }
            ? number >= least ? number : throw Refuse(key, $"is {number}, expected at least {least}")
            : throw Refuse(key, "is something else than a whole number");

    /// <summary>Reads a number.</summary>
    /// <exception cref="SavedFileException">There is none of that name.</exception>
    public double ReadDouble(string key) => Value(key, "a number") switch
    {
        SavedNumber { Value: { } number } when double.IsFinite(number) => number,
        string text when TryParseNonFinite(text, out double number) => number,
        _ => throw Refuse(key, "is something else than a number"),
    };

    /// <summary>Reads a text.</summary>
    /// <exception cref="SavedFileException">There is none of that name.</exception>
    public string ReadString(string key) => Value(key, "a text") as string ?? throw Refuse(key, "is something else than a text");

    /// <summary>Reads a text or a number that was written to tell whether the state fits, and refuses another one.</summary>
    /// <exception cref="SavedFileException">It is another one.</exception>
    public void Expect(string key, string expected)
    {
        string given = ReadString(key);
        if (given != expected)
        {
            throw Refuse(key, $"is '{given}', expected '{expected}'");
        }
    }

    /// <inheritdoc cref="Expect(string, string)"/>
    public void Expect(string key, long expected)
    {
        long given = ReadInt64(key);
        if (given != expected)
        {
            throw Refuse(key, $"is {given}, expected {expected}");
        }
    }

    /// <summary>Reads a tensor into the memory of the host. It is freed once the whole state has been taken over.</summary>
    /// <param name="key">Its name.</param>
    /// <param name="dtype">Its dtype.</param>
    /// <param name="shape">Its shape; -1 for a dimension of any size.</param>
    /// <exception cref="SavedFileException">There is none of that name, dtype and shape.</exception>
    public Tensor ReadTensor(string key, DType dtype, ReadOnlySpan<long> shape)
    {
        string name = TensorPrefix + key;
        if (_file is null || !_file.Tensors.TryGetValue(name, out var info))
        {
            throw Refuse(key, "is missing, expected a tensor");
        }

        bool fits = info.DType == dtype && info.Shape.Count == shape.Length;
        for (int i = 0; fits && i < shape.Length; i++)
        {
            fits = shape[i] == -1 || shape[i] == info.Shape[i];
        }

        if (!fits)
        {
            throw Refuse(key, $"is {info.Description}, expected {dtype.ShortName()}[{string.Join(',', shape.ToArray())}]");
        }

        _unread.Remove(key);
        return _file.Load(name, Device.Cpu);
    }

    /// <summary>An exception that refuses the state.</summary>
    /// <param name="key">Name of what does not fit.</param>
    /// <param name="reason">Goes on after it: "is 7, expected 8".</param>
    public SavedFileException Refuse(string key, string reason) => new(_path, $"{_name}.{key} {reason}");

    /// <summary>What a parameter is called in saved files.</summary>
    internal string NameOf(Parameter parameter) => _names.TryGetValue(parameter, out string? name)
        ? name
        : throw new InvalidOperationException($"The parameter {parameter.Name} is none of the model whose weights are saved.");

    /// <summary>Settings as a text to compare: records print theirs. The same whatever the culture.</summary>
    internal static string Describe(object? settings)
    {
        var culture = CultureInfo.CurrentCulture;
        try
        {
            CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
            return settings?.ToString() ?? "none";
        }
        finally
        {
            CultureInfo.CurrentCulture = culture;
        }
    }

    /// <summary>Refuses what the part has not asked for.</summary>
    internal void ExpectAllRead()
    {
        if (_unread.Count > 0)
        {
            throw new SavedFileException(_path, $"{_name} holds what is not expected here: {string.Join(", ", _unread.Order(StringComparer.Ordinal).Take(5))}");
        }
    }

    /// <summary>Writes numbers and texts as a JSON object.</summary>
    internal void WriteTo(Utf8JsonWriter json)
    {
        json.WriteStartObject(_name);
        foreach (var (key, value) in _values)
        {
            switch (value)
            {
                case long number:
                    json.WriteNumber(key, number);
                    break;
                case double number when double.IsFinite(number):
                    json.WriteNumber(key, number);
                    break;
                default:
                    json.WriteString(key, Convert.ToString(value, CultureInfo.InvariantCulture));
                    break;
            }
        }

        json.WriteEndObject();
    }

    private static bool TryParseNonFinite(string text, out double number) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out number) && !double.IsFinite(number);

    private object Value(string key, string expected)
    {
        _unread.Remove(key);
        return _values.TryGetValue(key, out object? value) ? value : throw Refuse(key, $"is missing, expected {expected}");
    }
}
