// SPDX-License-Identifier: MIT
using Mezzo.Autograd;

namespace Mezzo.Checkpointing;

/// <summary>
/// A part of the tape whose tensors are dropped when its forward pass ends, all but its outputs. When the backward pass
/// asks for one of them, the ops that lead from what was kept to those that are still needed run once more.
/// </summary>
/// <remarks>
/// It is the recorded ops that run once more, not the program: with the same inputs, numbers, random draws and dtypes, and
/// whatever the program has changed meanwhile. Regions nest: what an inner one has made and not given out is not kept when
/// the outer one runs once more, but made from the inner one's inputs when it is needed.
/// </remarks>
internal sealed class CheckpointRegion
{
    private static readonly AsyncLocal<CheckpointRegion?> Innermost = new();
    private readonly CheckpointRegion? _parent = Current;
    private readonly Lock _lock = new();
    private readonly List<Operation> _operations = []; // those of inner regions too, in order
    private readonly HashSet<Tensor> _held = []; // what the ops read from outside
    private int _unreleased; // ops that the backward pass has not passed
    private int _owned; // tensors that are there or dropped, and the region's
    private bool _takesOps = true;

    private CheckpointRegion()
    {
    }

    /// <summary>The innermost region whose forward pass is running; null for none.</summary>
    public static CheckpointRegion? Current
    {
        get
        {
            // Regions need not end in the order in which they began: those of a plan and those of the program overlap.
            var region = Innermost.Value;
            while (region is { _takesOps: false })
            {
                region = region._parent;
            }

            return region;
        }
    }

    /// <summary>Whether the forward pass is running.</summary>
    public bool IsOpen { get; private set; } = true;

    /// <summary>Whether tensors of the region may have to be made once more.</summary>
    public bool IsInUse => IsOpen || _unreleased > 0;

    /// <summary>Compares what is dropped with what is made in its place; null where nobody does.</summary>
    public ValueCheck? Check { get; } = ValueCheck.IfDue();

    /// <summary>Begins a region in the current one.</summary>
    public static CheckpointRegion Begin()
    {
        var region = new CheckpointRegion();
        Innermost.Value = region;
        return region;
    }

    /// <summary>Adds an op that has been recorded.</summary>
    public void Add(Operation operation, Tensor output)
    {
        operation.EnterRegion(this, output);
        foreach (var made in operation.Made)
        {
            made.Region = this;
        }

        foreach (var region in WithOuter())
        {
            lock (region._lock)
            {
                region._operations.Add(operation);
                region._unreleased++;
                foreach (var source in operation.Sources)
                {
                    region.Hold(source.Tensor);
                }
            }
        }
    }

    /// <summary>A tensor has become the region's.</summary>
    public void Gain() => Interlocked.Increment(ref _owned);

    /// <summary>A tensor has been freed, or is the region's no longer. Without any there is nothing to make once more.</summary>
    public void Lose()
    {
        if (Interlocked.Decrement(ref _owned) == 0 && !IsOpen)
        {
            lock (_lock)
            {
                LetGo([.. _held]);
            }
        }
    }

    /// <summary>Has a tensor that was the region's, and now is the program's, stay as long as others may be made once more from it.</summary>
    public void HoldIfRead(Tensor tensor)
    {
        foreach (var region in WithOuter())
        {
            lock (region._lock)
            {
                if (region._owned > 0 && region.IsInUse && region._operations.Exists(operation => operation.Sources.Any(source => source.Tensor == tensor)))
                {
                    region.Hold(tensor);
                }
            }
        }
    }

    /// <summary>Takes no further ops. What the region has made stays until its end.</summary>
    public void Leave()
    {
        _takesOps = false;
        Innermost.Value = Current;
    }

    /// <summary>Says that the backward pass needs nothing more for an op.</summary>
    public void Remove(Operation operation)
    {
        foreach (var region in WithOuter())
        {
            lock (region._lock)
            {
                if (--region._unreleased == 0 && !region.IsOpen)
                {
                    region.LetGo([.. region._held]);
                }
            }
        }
    }

    /// <summary>Ends the forward pass and drops what the region has made, but for the outputs.</summary>
    public void End(IReadOnlyList<Tensor> outputs)
    {
        Close();
        foreach (var output in outputs)
        {
            if (output.Region == this)
            {
                output.BringBack();
                output.Region = _parent;
            }
        }

        foreach (var made in Made().Where(made => made.IsKeptBy(outputs)).ToArray())
        {
            made.Region = _parent;
        }

        foreach (var made in _operations.Where(operation => !operation.IsRepeatable).SelectMany(operation => operation.Made))
        {
            // What has been changed in place since, or was made of what has, stays: it would come out different.
            made.Region = made.Region == this && !made.IsDropped ? null : made.Region;
        }

        foreach (var made in Made())
        {
            made.IsTransient = true;
            made.Drop();
        }

        // Only what it takes to make again what is saved is kept.
        var needed = HoldNeeded();
        lock (_lock)
        {
            LetGo([.. _unreleased == 0 ? _held : _held.Except(needed)]);
        }
    }

    /// <summary>Ends a forward pass that has failed, or is not what was expected: what has not been dropped yet stays.</summary>
    public void Abandon()
    {
        Close();
        foreach (var made in Made().Where(made => !made.IsDropped).ToArray())
        {
            made.Region = _parent;
        }

        HoldNeeded();
        lock (_lock)
        {
            LetGo([.. _unreleased == 0 ? _held : []]);
        }
    }

    /// <summary>Makes a dropped tensor once more, and in a backward pass all others that it will ask for.</summary>
    public void Recompute(Tensor asked)
    {
        HashSet<Tensor> wanted = BackwardPass.IsRunning ? [asked, .. Wanted()] : [asked];
        var sources = new HashSet<Tensor>();
        var plan = Plan(wanted, sources);

        // What comes from outside is the outer region's, which makes all that it is asked for in one go.
        foreach (var source in sources)
        {
            source.BringBack();
        }

        Run(plan, wanted);
    }

    /// <summary>Drops what the backward pass has brought back, where it is to run once more.</summary>
    public void DropAgain()
    {
        foreach (var made in Made())
        {
            made.Drop();
        }
    }

    /// <summary>This region and those around it.</summary>
    public IEnumerable<CheckpointRegion> WithOuter()
    {
        for (var region = this; region is not null; region = region._parent)
        {
            yield return region;
        }
    }

    private static void Run(List<Operation> plan, HashSet<Tensor> wanted)
    {
        var uses = new Dictionary<Tensor, int>();
        foreach (var source in plan.SelectMany(operation => operation.Sources))
        {
            uses[source.Tensor] = uses.GetValueOrDefault(source.Tensor) + 1;
        }

        var passing = new HashSet<Tensor>();
        try
        {
            foreach (var operation in plan)
            {
                var made = operation.Made.Where(tensor => tensor.IsDropped && !wanted.Contains(tensor)).ToArray();
                operation.Recompute();
                foreach (var tensor in made)
                {
                    passing.Add(tensor);
                    DropIfPassed(tensor);
                }

                foreach (var source in operation.Sources)
                {
                    uses[source.Tensor]--;
                    DropIfPassed(source.Tensor);
                }
            }
        }
        finally
        {
            foreach (var tensor in passing)
            {
                tensor.Drop();
            }
        }

        void DropIfPassed(Tensor tensor)
        {
            if (uses.GetValueOrDefault(tensor) == 0 && passing.Remove(tensor))
            {
                tensor.Drop();
            }
        }
    }

    /// <summary>Holds what it takes to make again what is saved.</summary>
    private HashSet<Tensor> HoldNeeded()
    {
        var needed = new HashSet<Tensor>();
        Plan([.. Wanted()], needed);
        lock (_lock)
        {
            foreach (var source in needed)
            {
                Hold(source);
            }
        }

        return needed;
    }

    private void Close()
    {
        Leave();
        IsOpen = false;
    }

    /// <summary>What the region may drop.</summary>
    private IEnumerable<Tensor> Made() => _operations.SelectMany(operation => operation.Made).Where(made => made.Region == this);

    /// <summary>What is dropped and saved for the backward pass, or held by an inner region.</summary>
    private IEnumerable<Tensor> Wanted() => Made().Where(made => made is { IsDropped: true, SaveCount: > 0 });

    /// <summary>The ops that make tensors from what is there, in order.</summary>
    /// <param name="wanted">The tensors.</param>
    /// <param name="sources">Receives what the ops read from outside the region.</param>
    private List<Operation> Plan(IEnumerable<Tensor> wanted, HashSet<Tensor> sources)
    {
        var missing = wanted.ToHashSet();
        var plan = new List<Operation>();
        foreach (var operation in Enumerable.Reverse(_operations))
        {
            if (operation.Made.Any(missing.Contains))
            {
                plan.Add(operation);
                foreach (var source in operation.Sources)
                {
                    if (!Owns(source.Tensor))
                    {
                        sources.Add(source.Tensor);
                    }
                    else if (source.Tensor.IsDropped)
                    {
                        missing.Add(source.Tensor);
                    }
                }
            }
        }

        plan.Reverse();
        return plan;
    }

    /// <summary>Whether the region or one in it drops a tensor.</summary>
    private bool Owns(Tensor tensor) => tensor.Region?.WithOuter().Contains(this) ?? false;

    private void Hold(Tensor source)
    {
        if (!Owns(source) && _held.Add(source))
        {
            source.SaveCount++;
            source.HoldCount++;
        }
    }

    private void LetGo(Tensor[] sources)
    {
        foreach (var source in sources)
        {
            _held.Remove(source);
            source.SaveCount--;
            source.HoldCount--;
            source.FreeIfUnused();
        }
    }
}
