// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>
/// Ways to copy to the host what a schedule keeps: the tensors that lie idle the longest, those of the first ops, as far as the
/// copying hides behind other work, or regardless of it.
/// </summary>
internal sealed class OffloadChoices
{
    private static readonly double[] Shares = [0.25, 0.5, 0.75, 1];
    private readonly TapeRecord _record;
    private readonly CopySpeed _speed;
    private readonly double[] _forwardEnds; // time at which each op has run forward
    private readonly double[] _backwardStarts; // and at which its backward pass begins, as if nothing were computed once more

    public OffloadChoices(TapeRecord record, TapeSchedule schedule, CopySpeed speed)
    {
        (_record, _speed) = (record, speed);
        Candidates =
        [
            .. from kept in TapeSimulator.KeptForBackward(record, schedule)
            let known = record.Tensors[kept.Tensor]
            where known is { Bytes: >= TapeSchedule.LeastBytes, IsKept: false } && !schedule.IsDropped(kept.Tensor, known.Maker) && record.HasNoViews(kept.Tensor)
            where known.LastUse + 1 < record.PlannedOps
            orderby known.LastUse
            select kept,
        ];
        double time = 0;
        _forwardEnds = [.. record.Ops.Select(op => time += op.ForwardSeconds)];
        _backwardStarts = new double[record.Ops.Count];
        for (int position = record.Ops.Count - 1; position >= 0; position--)
        {
            _backwardStarts[position] = time;
            time += record.Ops[position].BackwardSeconds;
        }
    }

    /// <summary>The choices, each of which is a list of offloads.</summary>
    public IEnumerable<IReadOnlyList<Offload>> All()
    {
        var hidden = Hidden().ToArray();
        return Shares
            .SelectMany(share => new[] { Part(hidden, share), [.. Part(Candidates, share).Select(Tight)] })
            .Where(offloads => offloads.Length > 0);
    }

    private static T[] Part<T>(T[] all, double share) => all[..(int)Math.Ceiling(share * all.Length)];

    /// <summary>Positions of the ops that a copy may be waited for after, for a tensor, or begin to come back before.</summary>
    public Range PositionsOf(int tensor) => (_record.Tensors[tensor].LastUse + 1).._record.PlannedOps;

    /// <summary>
    /// Tensors that are kept whole, by the position of their last use, with that of the op whose backward pass is the first to read
    /// each.
    /// </summary>
    public (int Tensor, int Needed)[] Candidates { get; }

    /// <summary>Copies that nobody has to wait for: those to the host end in the forward pass, and those back begin in time.</summary>
    private IEnumerable<Offload> Hidden()
    {
        var chosen = new List<(int Tensor, int Needed, int Freed)>();
        double copied = 0;
        foreach (var (tensor, needed) in Candidates)
        {
            double end = Math.Max(copied, _forwardEnds[_record.Tensors[tensor].LastUse]) + SecondsFor(tensor);
            int freed = Array.FindIndex(_forwardEnds, time => time >= end);
            if (freed >= 0 && freed < _record.PlannedOps - 1)
            {
                chosen.Add((tensor, needed, freed));
                copied = end;
            }
        }

        // From the last that is needed to the first, each as late as can be.
        double next = double.PositiveInfinity;
        var fetched = new Dictionary<int, int>();
        foreach (var (tensor, needed, freed) in chosen.OrderBy(offload => offload.Needed))
        {
            next = Math.Min(next, _backwardStarts[needed]) - SecondsFor(tensor);
            int position = Array.FindIndex(_backwardStarts, time => time <= next);
            fetched[tensor] = Math.Clamp(position < 0 ? int.MaxValue : position, freed, _record.PlannedOps - 1);
        }

        return chosen.Select(offload => new Offload(offload.Tensor, offload.Freed, fetched[offload.Tensor]));
    }

    /// <summary>A copy that takes the fewest bytes: waited for at once, and begun when it is needed.</summary>
    private Offload Tight((int Tensor, int Needed) candidate)
    {
        int freed = _record.Tensors[candidate.Tensor].LastUse + 1;
        return new(candidate.Tensor, freed, Math.Clamp(candidate.Needed + 1, freed, _record.PlannedOps - 1));
    }

    private double SecondsFor(int tensor) => _speed.SecondsFor(_record.Tensors[tensor].Bytes);
}
