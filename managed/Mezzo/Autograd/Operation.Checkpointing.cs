// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;

namespace Mezzo.Autograd;

/// <summary>
/// Running an op's forward pass once more, for elements that a <see cref="CheckpointRegion"/> has dropped, and fetching others that
/// were put aside.
/// </summary>
internal abstract partial class Operation
{
    private CheckpointRegion? _region;
    private SavedTensor[] _sources = [];
    private SavedTensor[] _made = []; // the output, and what it keeps for the backward pass alone
    private DType? _autocast;
    private int _savedAgain;
    private List<Tensor>? _fetched;

    /// <summary>Whether the forward pass runs for elements that were dropped.</summary>
    protected bool IsRecomputing { get; private set; }

    /// <summary>Whether the forward pass must leave everything but its output as it is.</summary>
    protected bool ChangesNothing => IsRecomputing || TapeObserver.IsInTrial;

    /// <summary>The inputs that were given, after autocast.</summary>
    internal IEnumerable<Tensor> Inputs => _inputs.OfType<Tensor>();

    /// <summary>What the op's forward pass reads, as it was then.</summary>
    internal IReadOnlyList<SavedTensor> Sources => _sources;

    /// <summary>What the op's forward pass makes: the output, and what it keeps for the backward pass alone.</summary>
    internal IEnumerable<Tensor> Made => _made.Select(made => made.Tensor);

    /// <summary>The checkpointed regions that the op is in, innermost first.</summary>
    internal IEnumerable<CheckpointRegion> Regions => _region?.WithOuter() ?? [];

    /// <summary><see cref="Made"/> of an op that may be in no region.</summary>
    /// <param name="output">What its forward pass has returned.</param>
    internal IEnumerable<Tensor> MadeWith(Tensor output) => _own?.Prepend(output) ?? [output];

    /// <summary>Whether the op would make the same once more: neither what it read nor what it made has been changed in place.</summary>
    internal bool IsRepeatable => Array.TrueForAll(_sources, source => source.IsIntact) && Array.TrueForAll(_made, made => made.IsIntact);

    /// <summary>Puts the op in a region, the innermost one that it runs in.</summary>
    /// <param name="region">The region.</param>
    /// <param name="output">What the op's forward pass has returned.</param>
    internal void EnterRegion(CheckpointRegion region, Tensor output)
    {
        _region = region;
        NoteSources(output);
    }

    /// <summary>The tensors that the op keeps for its backward pass.</summary>
    internal IEnumerable<Tensor> SavedTensors => _saved.Select(saved => saved.Tensor);

    /// <summary>The leaves whose gradients the op writes.</summary>
    internal IEnumerable<Tensor> Leaves =>
        from input in _inputs where input is { RequiresGrad: true, Producer: null } select input.GradientOwner;

    /// <summary>Notes what it takes to run the op once more.</summary>
    internal void NoteSources(Tensor output)
    {
        _autocast = Autocast.Current;
        var made = new List<SavedTensor> { new(output, Name, isForGradient: false) };
        _own?.ForEach(own => made.Add(new SavedTensor(own, Name, isForGradient: false)));
        var sources = new List<SavedTensor>(_inputs.Length);
        foreach (var input in _inputs)
        {
            AddSource(input);
        }

        _saved.ForEach(saved => AddSource(saved.Tensor));
        (_made, _sources) = ([.. made], [.. sources]);

        void AddSource(Tensor? tensor)
        {
            if (tensor is not null && !made.Exists(other => other.Tensor == tensor) && !sources.Exists(other => other.Tensor == tensor))
            {
                sources.Add(new SavedTensor(tensor, Name, isForGradient: false));
            }
        }
    }

    /// <summary>Runs the forward pass once more, and gives what it makes back to the tensors that have been dropped.</summary>
    /// <exception cref="InvalidOperationException">A source has been changed in place.</exception>
    internal void Recompute()
    {
        foreach (var source in _sources)
        {
            source.Value.ExpectValues();
            _ = source.Value.Handle;
        }

        foreach (var made in _made.Where(made => made.Tensor.IsDropped))
        {
            _ = made.Value; // has not been changed through a view
        }

        CaptureTrace.Current?.Apply(this, _inputs);
        using var autocast = Autocast.Restore(_autocast);
        (IsRecomputing, _savedAgain) = (true, 0);
        try
        {
            _made[0].Tensor.Refill(Forward());
        }
        finally
        {
            IsRecomputing = false;
        }

        foreach (var made in Made)
        {
            made.Region?.Check?.Compare(made, Name);
        }
    }

    /// <summary>Takes a tensor that the forward pass saves once more.</summary>
    /// <returns>What it saved at this point the first time.</returns>
    private SavedTensor SavedBefore(Tensor tensor)
    {
        if (_released)
        {
            return new SavedTensor(tensor, Name, isForGradient: false);
        }

        var saved = _saved[_savedAgain++];
        if (_own?.Contains(saved.Tensor) ?? false)
        {
            saved.Tensor.Refill(tensor);
        }

        return saved;
    }

    /// <summary>Begins to bring back a tensor that was put aside when this op is about to run backward.</summary>
    internal void FetchFirst(Tensor tensor) => (_fetched ??= []).Add(tensor);

    private void FetchTensors() => _fetched?.ForEach(tensor => tensor.Fetch());

    private void LeaveRegion()
    {
        _region?.Remove(this);
        _region = null;
    }
}
