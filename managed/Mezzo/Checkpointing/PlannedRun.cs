// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo.Checkpointing;

/// <summary>Runs a step's forward pass under a schedule: opens and ends regions at the positions that it names.</summary>
/// <remarks>
/// A step whose ops are not those that were measured, because it takes another path, is right all
/// the same: from the first op that differs on, nothing is dropped.
/// </remarks>
/// <param name="record">The step that was measured.</param>
/// <param name="schedule">What is dropped of it.</param>
/// <param name="report">Is told in the end how the step differed from the one that was measured; null for not at all.</param>
internal sealed class PlannedRun(TapeRecord record, TapeSchedule schedule, Action<string?> report) : TapeObserver, IDisposable
{
    private readonly Stack<(ScheduledRegion Scheduled, CheckpointRegion Region)> _open = [];
    private readonly Dictionary<int, Tensor> _passing = []; // what later ops will read, or the program keeps
    private readonly Dictionary<int, CheckpointRegion> _alone = [];
    private readonly Dictionary<int, (Tensor Tensor, HostCopy Copy)> _copying = [];
    private readonly Dictionary<int, Tensor> _offloaded = [];
    private readonly int _thread = Environment.CurrentManagedThreadId;
    private readonly Lock _lock = new();
    private IDisposable? _installation;
    private CheckpointRegion? _aroundNext;
    private int _position;
    private bool _isInOp;
    private string? _difference;
    private bool _isOver;

    /// <summary>Begins a forward pass.</summary>
    public PlannedRun Begin()
    {
        _installation = Install();
        return this;
    }

    public override void BeforeForward(Operation operation)
    {
        lock (_lock)
        {
            if (!_isOver)
            {
                Before(operation);
            }
        }
    }

    public override void AfterForward(Operation operation, Tensor output)
    {
        lock (_lock)
        {
            if (!_isOver)
            {
                After(operation, output);
            }
        }
    }

    /// <summary>Ends the forward pass.</summary>
    public void Dispose()
    {
        try
        {
            lock (_lock)
            {
                Stop(!_isOver && _position < record.PlannedOps ? $"it has {_position} ops, planned were {record.PlannedOps}" : null);
            }
        }
        finally
        {
            _installation?.Dispose();
            report(_difference);
        }
    }

    private void Before(Operation operation)
    {
        if (_isInOp)
        {
            Stop($"its op {_position} has thrown"); // and the program goes on all the same
            return;
        }

        if (_position == record.PlannedOps && record.PlannedOps < record.Ops.Count)
        {
            Stop(null); // what a model is followed by, a loss say, is not planned for
            return;
        }

        if (Environment.CurrentManagedThreadId != _thread)
        {
            Stop($"its op {_position} runs on another thread than those before");
            return;
        }

        if (_position == record.PlannedOps || record.Ops[_position].Name != operation.Name)
        {
            Stop(_position == record.PlannedOps
                ? $"it has more than the {_position} ops that were planned for"
                : $"its op {_position} is {operation.Name}, planned was {record.Ops[_position].Name}");
            return;
        }

        foreach (var region in schedule.StartingAt(_position))
        {
            _open.Push((region, CheckpointRegion.Begin()));
        }

        _aroundNext = schedule.Alone.Contains(_position) ? CheckpointRegion.Begin() : null;
        _isInOp = true;
    }

    private void After(Operation operation, Tensor output)
    {
        _isInOp = false;
        var op = record.Ops[_position];
        if (_aroundNext is not null)
        {
            _aroundNext.Leave();
            _alone.Add(_position, _aroundNext);
            _aroundNext = null;
        }

        foreach (var (number, made) in op.Made.Zip(operation.MadeWith(output)))
        {
            _passing[number] = made;
        }

        foreach (int number in record.LastUsedAt(_position))
        {
            // What somebody has a view of leaves all regions.
            if (!record.Tensors[number].IsKept && _passing.Remove(number, out var tensor))
            {
                Drop(number, tensor);
            }
        }

        while (_open.TryPeek(out var open) && open.Scheduled.Last == _position)
        {
            _open.Pop();
            open.Region.End([.. from pair in _passing where record.Tensors[pair.Key].Maker >= open.Scheduled.First select pair.Value]);
        }

        PutAside(operation);
        _position++;
    }

    /// <summary>Frees what has been copied to the host by now, and has what it will take back when the op runs backward fetched.</summary>
    private void PutAside(Operation operation)
    {
        foreach (int number in schedule.FreedAfter(_position))
        {
            if (_copying.Remove(number, out var copying))
            {
                copying.Copy.Wait();
                copying.Tensor.PutAside(copying.Copy);
                _offloaded.Add(number, copying.Tensor);
            }
        }

        foreach (int number in schedule.FetchedBefore(_position))
        {
            if (_offloaded.Remove(number, out var tensor))
            {
                operation.FetchFirst(tensor);
            }
        }
    }

    private void Drop(int number, Tensor tensor)
    {
        if (schedule.IsMasked(number) && tensor is { CanBePutAside: true, HoldCount: 0, SaveCount: 1, Producer.EndsWithRelu: true })
        {
            tensor.PutAside(new ReluMask(tensor));
            return;
        }

        if (schedule.IsOffloaded(number) && tensor.CanBePutAside)
        {
            try
            {
                _copying.Add(number, (tensor, new HostCopy(tensor)));
            }
            catch (MezzoException exception) when (exception.Status == MezzoStatus.OutOfMemory)
            {
                // The host has less memory than when the step was measured: this one stays where it is.
            }

            return;
        }

        int maker = record.Tensors[number].Maker;
        if (schedule.Alone.Contains(maker))
        {
            if (number == record.Ops[maker].Made[0] && _alone.Remove(maker, out var alone))
            {
                alone.End([]); // with what the op keeps for its backward pass alone
            }
        }
        else if (schedule.OwnerOf(number) is not null)
        {
            tensor.Drop();
        }
    }

    /// <summary>Ends what is open, and drops nothing of it.</summary>
    private void Stop(string? difference)
    {
        _difference ??= difference;
        _isOver = true;
        _aroundNext?.Abandon();
        _aroundNext = null;
        foreach (var region in _alone.Values.Concat(_open.Select(open => open.Region)))
        {
            region.Abandon();
        }

        foreach (var (_, copy) in _copying.Values)
        {
            copy.Dispose();
        }

        _copying.Clear();
        _offloaded.Clear();
        _open.Clear();
        _alone.Clear();
    }
}
