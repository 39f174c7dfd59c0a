// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>
/// Plays a step through under a schedule, by the rules that <see cref="CheckpointRegion"/> and the backward pass follow, and
/// counts bytes and seconds from what was measured of its ops.
/// </summary>
internal sealed class TapeSimulator
{
    private readonly TapeRecord _record;
    private readonly TapeSchedule _schedule;
    private readonly bool[] _isThere;
    private readonly int[] _saves;
    private readonly int[] _holds;
    private readonly int[] _users; // of each storage
    private readonly Dictionary<ScheduledRegion, int[]> _held = new(ReferenceEqualityComparer.Instance);
    private readonly int[]?[] _heldAlone;
    private int _forward = -1; // position of the op that has run last
    private long _live;

    private TapeSimulator(TapeRecord record, TapeSchedule schedule)
    {
        (_record, _schedule) = (record, schedule);
        _isThere = new bool[record.Tensors.Count];
        _holds = new int[record.Tensors.Count];
        _users = new int[record.Tensors.Count];
        _saves = new int[record.Tensors.Count];
        _heldAlone = new int[record.Ops.Count][];
        _live = Peak = record.BytesBefore;
    }

    private long Peak { get; set; }

    private long BytesAfterForward { get; set; }

    private double RecomputeSeconds { get; set; }

    /// <summary>Plays a step.</summary>
    public static SimulatedStep Run(TapeRecord record, TapeSchedule schedule)
    {
        var simulator = new TapeSimulator(record, schedule);
        for (int position = 0; position < record.Ops.Count; position++)
        {
            simulator.Forward(position);
        }

        simulator.BytesAfterForward = simulator._live;
        simulator._live += TapeRecord.Alignment; // the gradient of the loss, a scalar
        for (int position = record.Ops.Count - 1; position >= 0; position--)
        {
            simulator.Backward(position);
        }

        return new SimulatedStep(simulator.Peak, simulator.BytesAfterForward - record.BytesBefore, simulator.RecomputeSeconds);
    }

    private void Forward(int position)
    {
        var op = _record.Ops[position];
        Reach(_live + op.ForwardPeak);
        _forward = position;
        Array.ForEach(op.Made, Appear);
        _live += op.OtherBytes;
        foreach (int saved in op.Saved)
        {
            _saves[saved]++;
        }

        foreach (int tensor in _record.LastUsedAt(position))
        {
            DropIfOwned(tensor);
        }

        // Inner regions end before those around them.
        for (var region = _schedule.RegionOf(position); region is not null && region.Last == position; region = Outer(region))
        {
            End(region);
        }

        foreach (int tensor in _record.LastUsedAt(position))
        {
            FreeIfUnused(tensor);
        }
    }

    private void Backward(int position)
    {
        var op = _record.Ops[position];
        foreach (int saved in op.Saved)
        {
            BringBack(saved);
        }

        Reach(_live + op.BackwardPeak);
        _live += op.BackwardBytes;
        foreach (int saved in op.Saved)
        {
            _saves[saved]--;
            FreeIfUnused(saved);
        }

        LetGo(_heldAlone[position]);
        for (var region = _schedule.RegionOf(position); region is not null && region.First == position; region = Outer(region))
        {
            LetGo(_held[region]);
        }
    }

    /// <summary>After the last use in the forward pass.</summary>
    private void DropIfOwned(int tensor)
    {
        int maker = _record.Tensors[tensor].Maker;
        if (_schedule.Alone.Contains(maker))
        {
            if (tensor == _record.Ops[maker].Made[0])
            {
                Array.ForEach(_record.Ops[maker].Made, Disappear);
                _heldAlone[maker] = Hold(_record.Ops[maker].Sources);
            }
        }
        else if (_schedule.OwnerOf(tensor) is not null)
        {
            Disappear(tensor);
        }
    }

    private void End(ScheduledRegion region)
    {
        var external = new HashSet<int>();
        Plan(region, [.. Wanted(region)], external);
        _held[region] = Hold(external);

        // Until now the region has held whatever its ops read.
        foreach (int source in _record.Ops.Take(region.Last + 1).Skip(region.First).SelectMany(op => op.Sources).Distinct())
        {
            if (!Owns(region, source))
            {
                FreeIfUnused(source);
            }
        }
    }

    private void BringBack(int tensor)
    {
        if (_isThere[tensor])
        {
            return;
        }

        int maker = _record.Tensors[tensor].Maker;
        if (_schedule.Alone.Contains(maker))
        {
            Array.ForEach(_record.Ops[maker].Sources, BringBack);
            Run([maker], [tensor, .. _record.Ops[maker].Made.Where(made => _saves[made] > 0)]);
        }
        else if (_schedule.OwnerOf(tensor) is { } region)
        {
            var external = new HashSet<int>();
            HashSet<int> wanted = [tensor, .. Wanted(region)];
            var plan = Plan(region, wanted, external);
            foreach (int source in external)
            {
                BringBack(source);
            }

            Run(plan, wanted);
        }
    }

    private void Run(List<int> plan, HashSet<int> wanted)
    {
        var uses = plan.SelectMany(position => _record.Ops[position].Sources).GroupBy(source => source).ToDictionary(group => group.Key, group => group.Count());
        var passing = new HashSet<int>();
        foreach (int position in plan)
        {
            var op = _record.Ops[position];
            Reach(_live + op.ForwardPeak);
            RecomputeSeconds += op.ForwardSeconds;
            foreach (int made in op.Made)
            {
                if (!_isThere[made])
                {
                    Appear(made);
                    if (!wanted.Contains(made))
                    {
                        passing.Add(made);
                        DropIfPassed(made);
                    }
                }
            }

            foreach (int source in op.Sources)
            {
                uses[source]--;
                DropIfPassed(source);
            }
        }

        void DropIfPassed(int tensor)
        {
            if (uses.GetValueOrDefault(tensor) == 0 && passing.Remove(tensor))
            {
                Disappear(tensor);
            }
        }
    }

    /// <summary>Positions of the ops that make tensors from what is there, in order.</summary>
    private List<int> Plan(ScheduledRegion region, IEnumerable<int> wanted, HashSet<int> external)
    {
        var missing = wanted.ToHashSet();
        var plan = new List<int>();
        for (int position = region.Last; position >= region.First; position--)
        {
            var op = _record.Ops[position];
            if (Array.Exists(op.Made, missing.Contains))
            {
                plan.Add(position);
                foreach (int source in op.Sources)
                {
                    if (!Owns(region, source))
                    {
                        external.Add(source);
                    }
                    else if (!_isThere[source])
                    {
                        missing.Add(source);
                    }
                }
            }
        }

        plan.Reverse();
        return plan;
    }

    private IEnumerable<int> Wanted(ScheduledRegion region) =>
        from position in Enumerable.Range(region.First, region.Last - region.First + 1)
        where !_schedule.Alone.Contains(position)
        from made in _record.Ops[position].Made
        where _schedule.OwnerOf(made) == region && !_isThere[made] && (_saves[made] > 0 || _holds[made] > 0)
        select made;

    private bool Owns(ScheduledRegion region, int tensor)
    {
        var owner = _schedule.OwnerOf(tensor);
        while (owner is not null && owner != region)
        {
            owner = Outer(owner);
        }

        return owner is not null;
    }

    private ScheduledRegion? Outer(ScheduledRegion region) => _schedule.Parents.GetValueOrDefault(region);

    private int[] Hold(IEnumerable<int> tensors)
    {
        int[] held = [.. tensors];
        foreach (int tensor in held)
        {
            _holds[tensor]++;
        }

        return held;
    }

    private void LetGo(int[]? held)
    {
        foreach (int tensor in held ?? [])
        {
            _holds[tensor]--;
            FreeIfUnused(tensor);
        }
    }

    private void FreeIfUnused(int tensor)
    {
        var known = _record.Tensors[tensor];
        bool isDropped = _schedule.OwnerOf(tensor) is not null || _schedule.Alone.Contains(known.Maker);
        if ((known.IsTransient || isDropped) && _saves[tensor] == 0 && _holds[tensor] == 0 && known.LastUse <= _forward && !IsHeldByOpenRegion(tensor))
        {
            Disappear(tensor);
        }
    }

    /// <summary>Whether a region that has not ended reads the tensor, and so holds it.</summary>
    private bool IsHeldByOpenRegion(int tensor)
    {
        for (var region = _schedule.RegionOf(_forward); region is not null; region = Outer(region))
        {
            if (region.Last > _forward && !Owns(region, tensor) && _record.ReadersOf(tensor).Any(reader => reader >= region.First && reader <= _forward))
            {
                return true;
            }
        }

        return false;
    }

    private void Appear(int tensor)
    {
        _isThere[tensor] = true;
        int storage = _record.Tensors[tensor].Storage;
        _live += _users[storage]++ == 0 ? _record.Tensors[storage].Bytes : 0;
        Reach(_live);
    }

    private void Disappear(int tensor)
    {
        if (_isThere[tensor])
        {
            _isThere[tensor] = false;
            int storage = _record.Tensors[tensor].Storage;
            _live -= --_users[storage] == 0 ? _record.Tensors[storage].Bytes : 0;
        }
    }

    private void Reach(long bytes) => Peak = Math.Max(Peak, bytes);
}

/// <summary>What a step under a schedule is to take.</summary>
/// <param name="PeakBytes">Most live bytes at any time, those before the step included.</param>
/// <param name="ActivationBytes">Bytes that the forward pass leaves for the backward pass.</param>
/// <param name="RecomputeSeconds">Seconds of ops that run once more.</param>
internal readonly record struct SimulatedStep(long PeakBytes, long ActivationBytes, double RecomputeSeconds);
