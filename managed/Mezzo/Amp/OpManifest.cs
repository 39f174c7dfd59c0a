// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// Which op ran in which dtypes, and how often: what autocast made of a model, to be printed, kept beside a run and
/// compared with another one.
/// </summary>
/// <remarks>
/// The ops of forward passes are listed; each runs backward in the dtypes that it ran forward in. Steps that a
/// <see cref="Trainer"/> launches as a graph call no ops, so record a forward pass of one's own.
/// </remarks>
/// <example><code>
/// var manifest = OpManifest.Record(() => { using (Autocast.Enable(DType.Float16)) model.Forward(x); });
/// File.WriteAllText("ops.txt", manifest.ToString());
/// </code></example>
public sealed class OpManifest
{
    private static readonly AsyncLocal<OpManifest?> Recording = new();

    private readonly Lock _lock = new();
    private readonly Dictionary<string, int> _places = [];
    private readonly List<OpManifestEntry> _entries = [];
    private readonly OpManifest? _outer = Recording.Value;

    private OpManifest()
    {
    }

    /// <summary>The ops, each with its dtypes once, in the order in which they first ran.</summary>
    public IReadOnlyList<OpManifestEntry> Entries
    {
        get
        {
            lock (_lock)
            {
                return [.. _entries];
            }
        }
    }

    /// <summary>Runs work and lists its ops, those of async code that it starts included.</summary>
    /// <remarks>Nests: an outer manifest lists the ops of an inner one too. What the work throws is thrown on.</remarks>
    public static OpManifest Record(Action work)
    {
        ArgumentNullException.ThrowIfNull(work);
        var manifest = new OpManifest();
        Recording.Value = manifest;
        try
        {
            work();
        }
        finally
        {
            Recording.Value = manifest._outer;
        }

        return manifest;
    }

    /// <summary>The lines in which two manifests differ, those of the earlier one behind "- ", those of this one behind "+ "; empty where there is none.</summary>
    /// <param name="earlier">What <see cref="ToString"/> gave.</param>
    public string Diff(string earlier)
    {
        ArgumentNullException.ThrowIfNull(earlier);
        string[] before = LinesOf(earlier);
        string[] now = LinesOf(ToString());
        return string.Concat(before.Except(now).Select(line => $"- {line}\n").Concat(now.Except(before).Select(line => $"+ {line}\n")));
    }

    /// <summary>One line for each entry: "linear f16 f16 f16 -> f16 x 8".</summary>
    public override string ToString() => string.Concat(Entries.Select(entry => $"{entry}\n"));

    /// <summary>Lists an op that has run, where somebody records.</summary>
    internal static void Add(string op, ReadOnlySpan<Tensor?> inputs, Tensor output)
    {
        if (Recording.Value is { } innermost)
        {
            var entry = new OpManifestEntry(op, [.. inputs.ToArray().Select(input => input?.DType)], output.DType, Count: 1);
            for (var manifest = innermost; manifest is not null; manifest = manifest._outer)
            {
                manifest.Count(entry);
            }
        }
    }

    private static string[] LinesOf(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private void Count(OpManifestEntry entry)
    {
        lock (_lock)
        {
            if (_places.TryGetValue(entry.Signature, out int place))
            {
                _entries[place] = _entries[place] with { Count = _entries[place].Count + 1 };
            }
            else
            {
                _places.Add(entry.Signature, _entries.Count);
                _entries.Add(entry);
            }
        }
    }
}

/// <summary>An op of an <see cref="OpManifest"/>.</summary>
/// <param name="Op">Its name, as in the C ABI: "linear".</param>
/// <param name="Inputs">The dtypes that its inputs had, once autocast had cast them; null for an input that was not given.</param>
/// <param name="Output">The dtype of its output.</param>
/// <param name="Count">How often it ran so.</param>
public sealed record OpManifestEntry(string Op, IReadOnlyList<DType?> Inputs, DType Output, int Count)
{
    /// <summary>Op and dtypes: "linear f16 f16 none -> f16".</summary>
    public string Signature => $"{Op} {string.Join(' ', Inputs.Select(input => input?.ShortName() ?? "none"))} -> {Output.ShortName()}";

    /// <summary>The line of a manifest.</summary>
    public override string ToString() => $"{Signature} x {Count}";
}
