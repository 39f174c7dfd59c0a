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
    private readonly SimulatedMemory _memory;
    private readonly SimulatedClock _clock;
    private readonly int[] _saves;
    private readonly int[] _holds;
    private readonly Dictionary<int, double> _copyEnds = []; // of what is being copied to the host or back
    private readonly Dictionary<ScheduledRegion, int[]> _held = new(ReferenceEqualityComparer.Instance);
    private readonly int[]?[] _heldAlone;
    private readonly int[] _needed; // position of the op whose backward pass is the first to read each tensor; -1 for none
    private int _forward = -1; // position of the op that has run last
    private int _backward; // position of the op whose backward pass runs
    private double _recomputeSeconds;

    private TapeSimulator(TapeRecord record, TapeSchedule schedule)
    {
        (_record, _schedule) = (record, schedule);
        (_memory, _clock) = (new SimulatedMemory(record), new SimulatedClock(record.CopySpeed));
        _holds = new int[record.Tensors.Count];
        _saves = new int[record.Tensors.Count];
        _needed = new int[record.Tensors.Count];
        Array.Fill(_needed, -1);
        _heldAlone = new int[record.Ops.Count][];
    }

    /// <summary>Plays a step.</summary>
    public static SimulatedStep Run(TapeRecord record, TapeSchedule schedule)
    {
        var simulator = new TapeSimulator(record, schedule);
        simulator.Forward();
        long activations = simulator._memory.Live - record.BytesBefore;
        simulator.Backward();
        return new SimulatedStep(simulator._memory.Peak, activations, simulator._recomputeSeconds, simulator._clock.Waited);
    }

    /// <summary>
    /// The tensors that are in memory after the forward pass for the sake of the backward pass, with the position of the op whose backward
    /// pass is the first to read each, itself or by what is made again for it.
    /// </summary>
    public static IEnumerable<(int Tensor, int Needed)> KeptForBackward(TapeRecord record, TapeSchedule schedule)
    {
        var simulator = new TapeSimulator(record, schedule);
        simulator.Forward();
        int[] kept = [.. Enumerable.Range(0, record.Tensors.Count).Where(tensor => simulator._memory.Has(tensor) && simulator.IsNeeded(tensor))];
        simulator.Backward();
        return kept.Select(tensor => (tensor, simulator._needed[tensor])).Where(kept => kept.Item2 >= 0);
    }

    private void Forward()
    {
        for (int position = 0; position < _record.Ops.Count; position++)
        {
            Forward(position);
        }
    }

    private void Backward()
    {
        _memory.Add(TapeRecord.Alignment); // the gradient of the loss, a scalar
        for (_backward = _record.Ops.Count - 1; _backward >= 0; _backward--)
        {
            Backward(_backward);
        }
    }

    private void Forward(int position)
    {
        var op = _record.Ops[position];
        _memory.Reach(op.ForwardPeak);
        _clock.Work(op.ForwardSeconds);
        _forward = position;
        Array.ForEach(op.Made, _memory.Appear);
        _memory.Add(op.OtherBytes);
        foreach (int saved in op.Saved)
        {
            _saves[saved]++;
        }

        foreach (int tensor in _record.LastUsedAt(position))
        {
            Drop(tensor);
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

        foreach (int tensor in _schedule.FreedAfter(position))
        {
            Arrive(tensor);
            _memory.Disappear(tensor);
        }
    }

    private void Backward(int position)
    {
        var op = _record.Ops[position];
        foreach (int tensor in _schedule.FetchedBefore(position).Where(IsNeeded))
        {
            Fetch(tensor);
        }

        foreach (int saved in op.Saved)
        {
            BringBack(saved);
        }

        _memory.Reach(op.BackwardPeak);
        _clock.Work(op.BackwardSeconds);
        _memory.Add(op.BackwardBytes);
        if (_record.IsRetained)
        {
            DropAgain(position);
            return;
        }

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
    private void Drop(int tensor)
    {
        int maker = _record.Tensors[tensor].Maker;
        if (_schedule.IsMasked(tensor))
        {
            _memory.Add(_record.Tensors[tensor].MaskBytes);
            _memory.Disappear(tensor);
            Recompute(_record.Ops[maker].MaskSeconds);
        }
        else if (_schedule.IsOffloaded(tensor))
        {
            _copyEnds[tensor] = _clock.Copy(_record.Tensors[tensor].Bytes);
        }
        else if (_schedule.Alone.Contains(maker))
        {
            if (tensor == _record.Ops[maker].Made[0])
            {
                Array.ForEach(_record.Ops[maker].Made, _memory.Disappear);
                _heldAlone[maker] = Hold(_record.Ops[maker].Sources);
            }
        }
        else if (_schedule.OwnerOf(tensor) is not null)
        {
            _memory.Disappear(tensor);
        }
    }

    /// <summary>What a backward pass that may be repeated drops again once it has passed the first op of a region.</summary>
    private void DropAgain(int position)
    {
        if (_schedule.Alone.Contains(position))
        {
            Array.ForEach(_record.Ops[position].Made, _memory.Disappear);
        }

        for (var region = _schedule.RegionOf(position); region is not null && region.First == position; region = Outer(region))
        {
            foreach (int made in OwnedBy(region))
            {
                _memory.Disappear(made);
            }
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

    /// <summary>Begins to copy a tensor back from the host.</summary>
    private void Fetch(int tensor)
    {
        if (!_memory.Has(tensor))
        {
            _memory.Appear(tensor);
            _copyEnds[tensor] = _clock.Copy(_record.Tensors[tensor].Bytes);
        }
    }

    /// <summary>Waits for a tensor that is being copied.</summary>
    private void Arrive(int tensor)
    {
        if (_copyEnds.Remove(tensor, out double end))
        {
            _clock.WaitUntil(end);
        }
    }

    private void Need(int tensor) => _needed[tensor] = Math.Max(_needed[tensor], _backward);

    private void BringBack(int tensor)
    {
        Need(tensor);
        int maker = _record.Tensors[tensor].Maker;
        if (_schedule.IsOffloaded(tensor))
        {
            Fetch(tensor);
            Arrive(tensor);
        }
        else if (_memory.Has(tensor))
        {
            return;
        }
        else if (_schedule.IsMasked(tensor))
        {
            _memory.Appear(tensor);
        }
        else if (_schedule.Alone.Contains(maker))
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
            _memory.Reach(op.ForwardPeak);
            Recompute(op.ForwardSeconds);
            foreach (int made in op.Made)
            {
                if (!_memory.Has(made))
                {
                    _memory.Appear(made);
                    if (!wanted.Contains(made))
                    {
                        passing.Add(made);
                        DropIfPassed(made);
                    }
                }
            }

            foreach (int source in op.Sources)
            {
                Need(source);
                uses[source]--;
                DropIfPassed(source);
            }
        }

        void DropIfPassed(int tensor)
        {
            if (uses.GetValueOrDefault(tensor) == 0 && passing.Remove(tensor))
            {
                _memory.Disappear(tensor);
            }
        }
    }

    private void Recompute(double seconds)
    {
        _recomputeSeconds += seconds;
        _clock.Work(seconds);
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
                    else if (!_memory.Has(source))
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
        OwnedBy(region).Where(made => !_memory.Has(made) && IsNeeded(made));

    private bool IsNeeded(int tensor) => _saves[tensor] > 0 || _holds[tensor] > 0;

    /// <summary>What a region itself drops, and neither one in it nor an op alone.</summary>
    private IEnumerable<int> OwnedBy(ScheduledRegion region) =>
        from position in Enumerable.Range(region.First, region.Last - region.First + 1)
        where !_schedule.Alone.Contains(position)
        from made in _record.Ops[position].Made
        where _schedule.OwnerOf(made) == region
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
        if ((known.IsTransient || _schedule.IsDropped(tensor, known.Maker)) && !IsNeeded(tensor) && known.LastUse <= _forward && !IsHeldByOpenRegion(tensor))
        {
            _memory.Add(_schedule.IsMasked(tensor) && _memory.Has(tensor) ? -known.MaskBytes : 0);
            _memory.Disappear(tensor);
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
}

/// <summary>What a step under a schedule is to take.</summary>
/// <param name="PeakBytes">Most live bytes at any time, those before the step included.</param>
/// <param name="ActivationBytes">Bytes that the forward pass leaves for the backward pass.</param>
/// <param name="RecomputeSeconds">Seconds of ops that run once more.</param>
/// <param name="WaitSeconds">Seconds in which the device waits for copies to the host and back.</param>
internal readonly record struct SimulatedStep(long PeakBytes, long ActivationBytes, double RecomputeSeconds, double WaitSeconds);
