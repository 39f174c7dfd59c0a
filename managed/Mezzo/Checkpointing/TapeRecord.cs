// SPDX-License-Identifier: MIT
using Mezzo.Autograd;

namespace Mezzo.Checkpointing;

/// <summary>What was measured of a step's forward and backward pass: its ops in order, and the tensors they make.</summary>
/// <param name="Ops">The recorded ops, by position.</param>
/// <param name="Tensors">What they made.</param>
/// <param name="PlannedOps">Number of ops that a plan is for; those behind them finish the forward pass.</param>
/// <param name="BytesBefore">Live bytes before the step.</param>
/// <param name="IsWhole">Whether it ran as it is; false where it had to be checkpointed to fit.</param>
internal sealed record TapeRecord(IReadOnlyList<TapeOp> Ops, IReadOnlyList<TapeTensor> Tensors, int PlannedOps, long BytesBefore, bool IsWhole)
{
    /// <summary>What the library rounds allocations up to, in bytes.</summary>
    public const long Alignment = 64;

    private readonly Lazy<ILookup<int, int>> _views = new(() =>
        Enumerable.Range(0, Tensors.Count).Where(number => Tensors[number].Storage != number).ToLookup(number => Tensors[number].Storage));

    private readonly Lazy<ILookup<int, int>> _lastUses = new(() => Enumerable.Range(0, Tensors.Count).ToLookup(number => Tensors[number].LastUse));

    private readonly Lazy<ILookup<int, int>> _readers = new(() =>
        (from position in Enumerable.Range(0, Ops.Count) from source in Ops[position].Sources select (source, position)).ToLookup(read => read.source, read => read.position));

    /// <summary>How fast tensors are copied to the host and back; null where nothing is gained by that.</summary>
    public CopySpeed? CopySpeed { get; init; }

    /// <summary>Bytes that the host has for what is copied to it.</summary>
    public long HostBytes { get; init; }

    /// <summary>Whether the backward pass may be repeated, so that what it needs stays until the end of the step.</summary>
    public bool IsRetained { get; init; }

    /// <summary>Seconds of forward and backward pass without recomputing anything.</summary>
    public double Seconds => Ops.Sum(op => op.ForwardSeconds + op.BackwardSeconds);

    /// <summary>Bytes that the library takes for so many.</summary>
    public static long Aligned(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;

    /// <summary>Bytes that the library takes for the elements of a tensor.</summary>
    public static long AlignedBytes(Tensor tensor) => Aligned(tensor.ElementCount * tensor.DType.Size());

    /// <summary>Whether a tensor's elements are nobody else's: it is no view, and has none.</summary>
    public bool HasNoViews(int tensor) => Tensors[tensor].Storage == tensor && !_views.Value.Contains(tensor);

    /// <summary>Positions of the ops that read a tensor, in order.</summary>
    public IEnumerable<int> ReadersOf(int tensor) => _readers.Value[tensor];

    /// <summary>Bytes that are saved for the backward pass where nothing is computed once more, by layer, the most first.</summary>
    public IEnumerable<(string Layer, long Bytes)> SavedByLayer() =>
        from tensor in Tensors
        where tensor.Saves > 0
        group tensor.Bytes by Ops[tensor.Maker].Layer into layer
        orderby layer.Sum() descending
        select (layer.Key, layer.Sum());

    /// <summary>The tensors that nothing reads any more in the forward pass once the op at a position has run.</summary>
    public IEnumerable<int> LastUsedAt(int position) => _lastUses.Value[position];

    /// <summary>This record with the smaller ones of its seconds and those of another run of the same step.</summary>
    /// <exception cref="InvalidOperationException">The step had other ops.</exception>
    public TapeRecord Fastest(TapeRecord other)
    {
        if (!Ops.Select(op => op.Name).SequenceEqual(other.Ops.Select(op => op.Name)))
        {
            throw new InvalidOperationException(
                $"Two runs of the step differ, one of {Ops.Count} ops and one of {other.Ops.Count}: its ops must be the same each time to plan for them.");
        }

        return this with
        {
            Ops =
            [
                .. Ops.Zip(other.Ops, (mine, others) => mine with
                {
                    ForwardSeconds = Math.Min(mine.ForwardSeconds, others.ForwardSeconds),
                    BackwardSeconds = Math.Min(mine.BackwardSeconds, others.BackwardSeconds),
                    MaskSeconds = Math.Min(mine.MaskSeconds, others.MaskSeconds),
                }),
            ],
        };
    }
}

/// <summary>An op of a step.</summary>
/// <param name="Name">Its name, as in the C ABI.</param>
/// <param name="Layer">Name of the module whose parameters it takes, or the op before it took.</param>
/// <param name="IsCheap">Whether it costs about a pass over memory.</param>
/// <param name="Sources">Tensors that it reads of those that ops of the step have made.</param>
/// <param name="Made">Tensors that it makes, the output first.</param>
/// <param name="Saved">Tensors that it keeps for its backward pass, of those made in the step.</param>
internal sealed record TapeOp(string Name, string Layer, bool IsCheap, int[] Sources, int[] Made, int[] Saved)
{
    /// <summary>Seconds of the forward pass.</summary>
    public double ForwardSeconds { get; init; }

    /// <summary>Whether it saves its output for the sign alone, <see cref="Operation.EndsWithRelu"/>.</summary>
    public bool EndsWithRelu { get; init; }

    /// <summary>Seconds that it takes to make a <see cref="ReluMask"/> of the output and another output of that.</summary>
    public double MaskSeconds { get; init; }

    /// <summary>Seconds of the backward pass.</summary>
    public double BackwardSeconds { get; set; }

    /// <summary>Most bytes that were live while it ran, beyond those before: its results, and scratch memory.</summary>
    public long ForwardPeak { get; init; }

    /// <summary>Bytes that stayed live since the op before, other than those of recorded tensors: what ran in between without being recorded.</summary>
    public long OtherBytes { get; set; }

    /// <summary>As <see cref="ForwardPeak"/>, of the backward pass: gradients, and scratch memory.</summary>
    public long BackwardPeak { get; set; }

    /// <summary>Bytes of gradients that were live after its backward pass, less those before.</summary>
    public long BackwardBytes { get; set; }
}

/// <summary>A tensor that an op of a step makes.</summary>
/// <param name="Elements">Number of its elements.</param>
/// <param name="Bytes">Bytes of its elements; 0 for a view.</param>
/// <param name="Maker">Position of the op.</param>
/// <param name="Storage">The tensor whose elements it has: itself, or for a view the one that it is a view of.</param>
internal sealed record TapeTensor(long Elements, long Bytes, int Maker, int Storage)
{
    /// <summary>Bytes of a mask of its elements.</summary>
    public long MaskBytes => TapeRecord.Aligned(ReluMask.Bytes(Elements));

    /// <summary>
    /// Position of the last op that reads it in the forward pass, or after which it was freed; that of its maker where there is
    /// none.
    /// </summary>
    public int LastUse { get; set; } = Maker;

    /// <summary>How often ops keep it for their backward pass.</summary>
    public int Saves { get; set; }

    /// <summary>Whether the program keeps it for longer than the step.</summary>
    public bool IsKept { get; set; }

    /// <summary>Whether something else than a recorded op has read it.</summary>
    public bool IsReadOtherwise { get; set; }

    /// <summary>Whether it dies once nothing needs it; others live as long as the step's scope.</summary>
    public bool IsTransient { get; set; }
}
