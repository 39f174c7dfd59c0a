// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Mezzo.Autograd;

namespace Mezzo.Checkpointing;

/// <summary>A chain of modules in segments, all but the last checkpointed.</summary>
internal sealed class ModuleSegments
{
    private static readonly ConditionalWeakTable<Module, List<Measurement>> Measurements = [];
    private readonly Module<Tensor, Tensor>[] _modules;
    private readonly int[] _starts; // of units that run as one: modules, or a linear layer with the ReLU behind it

    public ModuleSegments(IReadOnlyList<Module<Tensor, Tensor>> modules)
    {
        _modules = [.. modules];
        var starts = new List<int>();
        for (int i = 0; i < _modules.Length; i += Sequential.RunAsOne(_modules, i) ? 2 : 1)
        {
            starts.Add(i);
        }

        _starts = [.. starts];
    }

    /// <summary>Runs the chain.</summary>
    public Tensor Run(int segments, Tensor input, SegmentSplit split)
    {
        int[] starts = split switch
        {
            SegmentSplit.Torch => LikeTorch(segments),
            SegmentSplit.Balanced => Measured(input) is { } bytes ? Balanced(bytes, segments) : LikeTorch(segments),
            _ => throw new ArgumentOutOfRangeException(nameof(split), split, "Not a way to split."),
        };
        var observer = split == SegmentSplit.Balanced && Measured(input) is null && NoGrad.IsRecording && !Graph.IsCapturing ? new SavedBytes() : null;
        using (observer?.Install())
        {
            var flowing = input;
            for (int i = 0; i < starts.Length; i++)
            {
                int end = i + 1 < starts.Length ? starts[i + 1] : _modules.Length;
                var segment = _modules[starts[i]..end];
                var taken = flowing;
                flowing = i + 1 < starts.Length ? Checkpoint.Run(x => Run(segment, starts[i], x, observer), taken) : Run(segment, starts[i], taken, observer);
                if (i > 0 && taken != flowing && taken != input && _modules[starts[i] - 1].KeepsNoTensor && _modules[starts[i]].KeepsNoTensor)
                {
                    taken.IsTransient = true;
                    taken.FreeIfUnused();
                }
            }

            if (observer is { Bytes.Count: > 0 })
            {
                Keep(input, observer);
            }

            return flowing;
        }
    }

    private static Tensor Run(Module<Tensor, Tensor>[] segment, int start, Tensor input, SavedBytes? observer)
    {
        if (observer is null)
        {
            return Sequential.Run(segment, input);
        }

        // Module by module, to know which one saves what.
        var flowing = input;
        for (int i = 0; i < segment.Length; i++)
        {
            int count = Sequential.RunAsOne(segment, i) ? 2 : 1;
            observer.Module = start + i;
            flowing = Sequential.Run(segment.AsSpan(i, count), flowing);
            i += count - 1;
        }

        return flowing;
    }

    private int[] LikeTorch(int segments)
    {
        int each = _modules.Length / segments;

        // What runs as one stays together.
        return [.. Enumerable.Range(0, segments).Select(segment => _starts.FirstOrDefault(start => start >= segment * each, -1)).Where(start => start >= 0).Distinct()];
    }

    private int[] Balanced(IReadOnlyDictionary<int, long> bytes, int segments)
    {
        long[] weights = [.. _starts.Select(start => bytes.GetValueOrDefault(start))];
        return [.. BalancedSplit.Starts(weights, Math.Min(segments, _starts.Length)).Select(unit => _starts[unit])];
    }

    private Dictionary<int, long>? Measured(Tensor input)
    {
        if (!Measurements.TryGetValue(_modules[0], out var known))
        {
            return null;
        }

        lock (known)
        {
            return known.Find(measurement => measurement.Fits(_modules, input))?.Bytes;
        }
    }

    private void Keep(Tensor input, SavedBytes observer)
    {
        const int MostKept = 8; // shapes and dtypes
        var known = Measurements.GetOrCreateValue(_modules[0]);
        lock (known)
        {
            known.Add(new Measurement(_modules, input.DType, input.Shape.ToArray(), Autocast.Current, observer.Bytes));
            known.RemoveRange(0, Math.Max(0, known.Count - MostKept));
        }
    }

    private sealed record Measurement(Module<Tensor, Tensor>[] Modules, DType DType, long[] Shape, DType? Autocast, Dictionary<int, long> Bytes)
    {
        public bool Fits(Module<Tensor, Tensor>[] modules, Tensor input) =>
            DType == input.DType && Autocast == Mezzo.Autocast.Current && input.Shape.SequenceEqual(Shape) && modules.SequenceEqual(Modules);
    }

    /// <summary>Counts the bytes that the ops of each module save of those they make.</summary>
    private sealed class SavedBytes : TapeObserver
    {
        private readonly Dictionary<Tensor, int> _makers = [];

        public Dictionary<int, long> Bytes { get; } = [];

        /// <summary>Number of the module that runs.</summary>
        public int Module { get; set; }

        public override void AfterForward(Operation operation, Tensor output)
        {
            foreach (var made in operation.MadeWith(output).Where(made => !made.IsView))
            {
                _makers.TryAdd(made, Module);
            }

            foreach (var saved in operation.SavedTensors)
            {
                if (_makers.Remove(saved, out int maker))
                {
                    Bytes[maker] = Bytes.GetValueOrDefault(maker) + (saved.ElementCount * saved.DType.Size());
                }
            }
        }
    }
}
