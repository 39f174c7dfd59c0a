// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>
/// A step as a chain: it is cut where a single tensor of those that its ops make passes from what is before to what is
/// after. What lies between two cuts, a residual block or the heads on a trunk, is one stage.
/// </summary>
internal sealed class TapeChain
{
    private const int MostStages = 100; // the solver's time grows with the cube
    private readonly TapeRecord _record;
    private readonly TapeSchedule _keeping; // what is kept where no region is
    private readonly int[] _ends; // position of each stage's last op

    public TapeChain(TapeRecord record)
    {
        _record = record;
        _keeping = new TapeSchedule(record, []);
        _ends = Merge(Cuts());
        Stages = [.. Enumerable.Range(0, _ends.Length).Select(Stage)];
    }

    /// <summary>The stages as the solver takes them.</summary>
    public IReadOnlyList<ChainStage> Stages { get; }

    /// <summary>Regions of the step's ops for segments of the chain.</summary>
    public IReadOnlyList<ScheduledRegion> RegionsOf(IReadOnlyList<ChainSegment> segments) =>
        [.. segments.Select(segment => new ScheduledRegion(First(segment.First), _ends[segment.Last], RegionsOf(segment.Inner)))];

    private int First(int stage) => stage == 0 ? 0 : _ends[stage - 1] + 1;

    private int[] Cuts()
    {
        // How many tensors pass each gap between two ops.
        int[] passing = new int[_record.Ops.Count + 1];
        foreach (var tensor in _record.Tensors)
        {
            passing[tensor.Maker]++;
            passing[tensor.LastUse]--;
        }

        var ends = new List<int>();
        int count = 0;
        for (int position = 0; position < _record.Ops.Count; position++)
        {
            count += passing[position];
            if ((count == 1 && position < _record.PlannedOps - 1) || position == _record.Ops.Count - 1)
            {
                ends.Add(position);
            }
        }

        return [.. ends];
    }

    /// <summary>Joins the quickest neighbours while there are too many.</summary>
    private int[] Merge(int[] ends)
    {
        var (merged, seconds) = (ends.ToList(), new List<double>());
        int first = 0;
        foreach (int end in ends)
        {
            seconds.Add(_record.Ops.Skip(first).Take(end - first + 1).Sum(op => op.ForwardSeconds));
            first = end + 1;
        }

        while (merged.Count > MostStages)
        {
            int quickest = Enumerable.Range(0, merged.Count - 1).MinBy(i => seconds[i] + seconds[i + 1]);
            seconds[quickest] += seconds[quickest + 1];
            seconds.RemoveAt(quickest + 1);
            merged.RemoveAt(quickest);
        }

        return [.. merged];
    }

    private ChainStage Stage(int stage)
    {
        var (first, last) = (First(stage), _ends[stage]);
        var ops = _record.Ops.Take(last + 1).Skip(first).ToArray();
        var made = ops.SelectMany(op => op.Made).ToArray();
        int[] outputs = [.. made.Where(tensor => _record.Tensors[tensor].LastUse > last)];
        bool isKept(int tensor) => _record.Tensors[tensor].Saves > 0 && !_keeping.Alone.Contains(_record.Tensors[tensor].Maker);
        int[] inside = [.. made.Where(tensor => isKept(tensor) && !outputs.Contains(tensor))];

        // What it takes to make again what is kept inside.
        var missing = inside.ToHashSet();
        var repeated = new HashSet<TapeOp>(ReferenceEqualityComparer.Instance);
        foreach (var op in ops.Reverse().Where(op => Array.Exists(op.Made, missing.Contains)))
        {
            repeated.Add(op);
            missing.UnionWith(op.Sources);
        }

        long outputBytes = outputs.Sum(Bytes);
        return new ChainStage(
            ops.Sum(op => op.ForwardSeconds),
            ops.Where(repeated.Contains).Sum(op => op.ForwardSeconds), // in one order, so that all of them are no less than all
            ops.Sum(op => op.BackwardSeconds),
            outputBytes,
            outputBytes + inside.Sum(tensor => _keeping.IsMasked(tensor) ? _record.Tensors[tensor].MaskBytes : Bytes(tensor)),
            Math.Max(0, ForwardPeak(first, last) - outputBytes),
            ops.Max(op => op.BackwardPeak));
    }

    /// <summary>Most bytes of ops that keep nothing for the backward pass.</summary>
    private long ForwardPeak(int first, int last)
    {
        long peak = 0;
        long live = 0;
        for (int position = first; position <= last; position++)
        {
            var op = _record.Ops[position];
            peak = Math.Max(peak, live + op.ForwardPeak);
            live += op.Made.Sum(Bytes) - _record.LastUsedAt(position).Where(tensor => _record.Tensors[tensor].Maker >= first).Sum(Bytes);
        }

        return peak;
    }

    private long Bytes(int tensor) => _record.Tensors[tensor].Bytes;
}
