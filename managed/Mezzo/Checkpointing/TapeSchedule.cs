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
/// made in, dropped alone because the one op that makes it is cheap, kept as the mask of a ReLU, or copied to the host.
/// </summary>
internal sealed class TapeSchedule
{
    /// <summary>Bytes of a tensor below which dropping it is not worth the trouble.</summary>
    public const long LeastBytes = 4096;

    private static readonly ILookup<int, int> Nothing = Array.Empty<int>().ToLookup(tensor => tensor);
    private readonly ScheduledRegion?[] _innermost;
    private readonly ScheduledRegion?[] _owners;
    private readonly ILookup<int, ScheduledRegion> _starts;
    private readonly HashSet<int> _masked;
    private HashSet<int> _offloaded = [];
    private ILookup<int, int> _freed = Nothing;
    private ILookup<int, int> _fetched = Nothing;

    /// <param name="record">The step.</param>
    /// <param name="regions">Disjoint regions, in order.</param>
    /// <param name="keepsCheap">Whether what is cheap to make again, or to keep as a mask, is kept like anything else.</param>
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
        _masked = keepsCheap ? [] : [.. Enumerable.Range(0, record.Tensors.Count).Where(tensor => IsForItsSignAlone(record, tensor))];
        Alone = keepsCheap ? new HashSet<int>() : FindCheap(record);

        ScheduledRegion? Owner(TapeTensor tensor)
        {
            // What an op outside of it reads is a region's output, and belongs to the one around it.
            var region = tensor.IsKept ? null : _innermost[tensor.Maker];
            while (region is not null && tensor.LastUse > region.Last)
            {
                region = parents.GetValueOrDefault(region);
            }

            return region;
        }
    }

    /// <summary>Disjoint regions, in order.</summary>
    public IReadOnlyList<ScheduledRegion> Regions { get; }

    /// <summary>Number of regions, inner ones too, that drop anything.</summary>
    public int DroppingRegions => _owners.OfType<ScheduledRegion>().Distinct(ReferenceEqualityComparer.Instance).Count();

    /// <summary>The region around each inner one.</summary>
    public IReadOnlyDictionary<ScheduledRegion, ScheduledRegion> Parents { get; }

    /// <summary>Positions of ops whose output is dropped alone after its last use, and made again when it is asked for.</summary>
    public IReadOnlySet<int> Alone { get; }

    /// <summary>Bytes that are copied to the host.</summary>
    public long OffloadedBytes { get; private set; }

    /// <summary>The same, but that some of what is kept is copied to the host.</summary>
    /// <param name="record">The step.</param>
    /// <param name="offloads">In order of the last use.</param>
    public TapeSchedule With(TapeRecord record, IReadOnlyList<Offload> offloads)
    {
        var copying = (TapeSchedule)MemberwiseClone();
        copying._offloaded = [.. offloads.Select(offload => offload.Tensor)];
        copying._freed = offloads.ToLookup(offload => offload.FreedAfter, offload => offload.Tensor);
        copying._fetched = offloads.Reverse().ToLookup(offload => offload.FetchedBefore, offload => offload.Tensor);
        copying.OffloadedBytes = offloads.Sum(offload => record.Tensors[offload.Tensor].Bytes);
        return copying;
    }

    /// <summary>Whether a tensor is kept as a <see cref="ReluMask"/> after its last use.</summary>
    public bool IsMasked(int tensor) => _masked.Contains(tensor);

    /// <summary>Whether a tensor is copied to the host after its last use.</summary>
    public bool IsOffloaded(int tensor) => _offloaded.Contains(tensor);

    /// <summary>Whether a tensor's elements are not kept where they are.</summary>
    public bool IsDropped(int tensor, int maker) => IsMasked(tensor) || IsOffloaded(tensor) || OwnerOf(tensor) is not null || Alone.Contains(maker);

    /// <summary>What has been copied to the host, and is freed, after the op at a position.</summary>
    public IEnumerable<int> FreedAfter(int position) => _freed[position];

    /// <summary>What is copied back from before the backward pass of the op at a position on, the first that is needed first.</summary>
    public IEnumerable<int> FetchedBefore(int position) => _fetched[position];

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
        var cheap = new HashSet<int>();
        for (int position = 0; position < record.Ops.Count; position++)
        {
            var op = record.Ops[position];
            var output = record.Tensors[op.Made[0]];
            if (op.IsCheap && !output.IsKept && !IsMasked(op.Made[0]) && output.Bytes >= LeastBytes && output.LastUse > position && !IsOutput(op.Made[0], position)
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
            !IsMasked(source) && _owners[source] == _owners[of] && (record.Tensors[source].Saves > 0 || cheap.Contains(record.Tensors[source].Maker));
    }

    /// <summary>
    /// Whether a tensor is kept by the op with a ReLU that makes it, and by nobody else, nor read when others are made again. That of a
    /// ReLU whose input is kept need not be kept at all.
    /// </summary>
    private bool IsForItsSignAlone(TapeRecord record, int tensor)
    {
        var (known, maker) = (record.Tensors[tensor], record.Ops[record.Tensors[tensor].Maker]);
        return maker.EndsWithRelu && maker.Made[0] == tensor && known is { Saves: 1, Bytes: >= LeastBytes, IsKept: false, IsReadOtherwise: false } && maker.Saved.Contains(tensor)
            && known.LastUse > known.Maker && known.LastUse < record.PlannedOps && record.HasNoViews(tensor)
            && _owners[tensor] is null && record.ReadersOf(tensor).All(reader => _innermost[reader] is null)
            && !(maker.IsCheap && maker.Sources.Length > 0 && Array.TrueForAll(maker.Sources, source => record.Tensors[source].Saves > 0));
    }
}
