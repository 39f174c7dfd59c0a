// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>A checkpointed region of a step: the ops at positions First to Last, with regions inside it.</summary>
internal sealed record ScheduledRegion(int First, int Last, IReadOnlyList<ScheduledRegion> Inner)
{
    /// <summary>This region and those inside it, outer ones first.</summary>
    public IEnumerable<ScheduledRegion> WithInner() => Inner.SelectMany(inner => inner.WithInner()).Prepend(this);
}

/// <summary>
/// What is done with each tensor that a step's ops make: kept as without checkpointing, dropped with the region that it is
/// made in, or dropped alone because the one op that makes it is cheap.
/// </summary>
internal sealed class TapeSchedule
{
    private readonly ScheduledRegion?[] _innermost;
    private readonly ScheduledRegion?[] _owners;
    private readonly ILookup<int, ScheduledRegion> _starts;

    /// <param name="record">The step.</param>
    /// <param name="regions">Disjoint regions, in order.</param>
    /// <param name="keepsCheap">Whether what is cheap to make again is kept like anything else.</param>
    public TapeSchedule(TapeRecord record, IReadOnlyList<ScheduledRegion> regions, bool keepsCheap = false)
    {
        Regions = regions;
        _starts = regions.SelectMany(region => region.WithInner()).ToLookup(region => region.First);
        _innermost = new ScheduledRegion?[record.Ops.Count];
        var parents = new Dictionary<ScheduledRegion, ScheduledRegion>(ReferenceEqualityComparer.Instance);
        foreach (var region in regions.SelectMany(region => region.WithInner()))
        {
            Array.Fill(_innermost, region, region.First, region.Last - region.First + 1);
            foreach (var inner in region.Inner)
            {
                parents.Add(inner, region);
            }
        }

        _owners = [.. record.Tensors.Select(Owner)];
        Parents = parents;
        Alone = keepsCheap ? new HashSet<int>() : FindCheap(record);

        ScheduledRegion? Owner(TapeTensor tensor)
        {
            // What an op outside of it reads is a region's output, and belongs to the one around it.
            var region = _innermost[tensor.Maker];
            while (region is not null && tensor.LastUse > region.Last)
            {
                region = parents.GetValueOrDefault(region);
            }

            return region;
        }
    }

    /// <summary>Disjoint regions, in order.</summary>
    public IReadOnlyList<ScheduledRegion> Regions { get; }

    /// <summary>The region around each inner one.</summary>
    public IReadOnlyDictionary<ScheduledRegion, ScheduledRegion> Parents { get; }

    /// <summary>Positions of ops whose output is dropped alone after its last use, and made again when it is asked for.</summary>
    public IReadOnlySet<int> Alone { get; }

    /// <summary>The regions whose first op is at a position, outer ones first.</summary>
    public IEnumerable<ScheduledRegion> StartingAt(int position) => _starts[position];

    /// <summary>The region that drops a tensor; null where it is kept, or dropped alone.</summary>
    public ScheduledRegion? OwnerOf(int tensor) => _owners[tensor];

    /// <summary>The innermost region that an op is in; null for none.</summary>
    public ScheduledRegion? RegionOf(int position) => _innermost[position];

    /// <summary>
    /// Cheap ops whose output would be kept though it can be made again, by cheap ops alone, from what is kept besides: storing it
    /// saves next to nothing.
    /// </summary>
    private HashSet<int> FindCheap(TapeRecord record)
    {
        const long LeastBytes = 4096;
        var cheap = new HashSet<int>();
        for (int position = 0; position < record.Ops.Count; position++)
        {
            var op = record.Ops[position];
            var output = record.Tensors[op.Made[0]];
            if (op.IsCheap && output.Bytes >= LeastBytes && output.LastUse > position && !IsOutput(op.Made[0], position)
                && op.Sources.Length > 0 && Array.TrueForAll(op.Sources, source => IsAtHand(source, op.Made[0])))
            {
                cheap.Add(position);
            }
        }

        // What nobody saves is wanted only for what is made of it.
        for (int position = record.Ops.Count - 1; position >= 0; position--)
        {
            int output = record.Ops[position].Made[0];
            if (record.Tensors[output].Saves == 0 && !record.ReadersOf(output).Any(cheap.Contains))
            {
                cheap.Remove(position);
            }
        }

        return cheap;

        // A region's output is what it is made again from.
        bool IsOutput(int tensor, int position) => _innermost[position] != _owners[tensor];

        bool IsAtHand(int source, int of) =>
            _owners[source] == _owners[of] && (record.Tensors[source].Saves > 0 || cheap.Contains(record.Tensors[source].Maker));
    }
}
