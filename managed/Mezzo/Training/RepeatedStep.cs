// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// The steps of one loss function with declared inputs of one kind, on the way from the first one to the graph that
/// is launched for them.
/// </summary>
internal sealed class RepeatedStep(StepFunction function) : IDisposable
{
    private const int MaxStarts = 3;
    private const int MaxTimesGivenUp = 3;
    private readonly Delegate _loss = function.Loss;
    private readonly int _microBatches = function.MicroBatches;
    private readonly (DType DType, Device Device, long[] Shape)[] _kinds =
        [.. function.Inputs.Select(input => (input.DType, input.Device, input.Shape.ToArray()))];

    private Tensor[]? _inputs;
    private Parameter[] _withoutGradient = [];
    private CaptureSignature? _signature;
    private int _starts;
    private int _timesGivenUp;

    /// <summary>The settings of the latest step; null before the first one has succeeded.</summary>
    public object? Settings { get; set; }

    /// <summary>What the latest step that ran one op after the other used.</summary>
    public CaptureTrace Observed { get; set; } = new(isRecording: false);

    /// <summary>The step as captured last.</summary>
    public Graph? Graph { get; private set; }

    /// <summary>What the captured step changes even where it is skipped.</summary>
    public Tensor[] Buffers { get; private set; } = [];

    /// <summary>What the captured step reports.</summary>
    public IssuedScalerStep Issued { get; private set; }

    /// <summary>Whether two captures have been the same.</summary>
    public bool IsProven { get; private set; }

    /// <summary>What the latest capture has shown.</summary>
    public CaptureStatus Status { get; private set; } = new(CaptureState.Preparing, "");

    /// <summary>Whether the steps cannot be captured.</summary>
    public bool IsRefused => Status.State == CaptureState.Refused;

    /// <summary>Whether a step is one of these.</summary>
    public bool Fits(StepFunction step) =>
        _loss.Equals(step.Loss) && _microBatches == step.MicroBatches && _kinds.Length == step.Inputs.Count && _kinds.Zip(step.Inputs).All(pair =>
            pair.First.DType == pair.Second.DType && pair.First.Device == pair.Second.Device && pair.Second.Shape.SequenceEqual(pair.First.Shape));

    /// <summary>Copies a step's inputs to where the graph reads them.</summary>
    public Tensor[] Stage(IReadOnlyList<Tensor> inputs)
    {
        _inputs ??= Array.ConvertAll(_kinds, kind => Tensor.AllocateOwned(kind.Shape, kind.DType, kind.Device));
        for (int i = 0; i < _inputs.Length; i++)
        {
            _inputs[i].CopyFrom(inputs[i]);
        }

        return _inputs;
    }

    /// <summary>
    /// Takes a capture over. It is proven when it is the same as the one before; the first two that differ show that
    /// the steps do not repeat.
    /// </summary>
    /// <param name="graph">What was captured.</param>
    /// <param name="issued">What it reports.</param>
    /// <param name="parameters">The optimizer's, with the gradients that the capture has left them.</param>
    /// <param name="buffers">What it changes even where it is skipped.</param>
    public void Take(Graph graph, IssuedScalerStep issued, IEnumerable<Parameter> parameters, IEnumerable<Tensor> buffers)
    {
        (Graph, Issued, Buffers) = (graph, issued, [.. buffers]);
        _withoutGradient = [.. parameters.Where(parameter => parameter.Grad is null)];
        bool differs = _signature is { } former && former != graph.Signature;
        if (differs && !IsProven)
        {
            Status = new CaptureStatus(
                CaptureState.Refused,
                "two captures of the step differ: the loss function reads other tensors or numbers each time, or takes another path; "
                    + "declare what changes as inputs of the step");
            return;
        }

        IsProven = _signature is not null && !differs;
        _signature = graph.Signature;
        Status = IsProven
            ? new CaptureStatus(CaptureState.Launching, $"the step is launched as a graph of {graph.Ops} ops")
            : new CaptureStatus(CaptureState.Preparing, "the step was captured once; the next one shows whether it repeats");
    }

    /// <summary>Launches the graph.</summary>
    public void Launch()
    {
        foreach (var parameter in _withoutGradient)
        {
            parameter.ClearGrad();
        }

        Graph!.Launch();
        _starts = IsProven ? 0 : _starts;
    }

    /// <summary>Frees the graph.</summary>
    public void Drop()
    {
        Graph?.Dispose();
        Graph = null;
    }

    /// <summary>Frees the graph because of a change after which the next captures may be other ones.</summary>
    /// <returns>False when this has happened a few times since a graph was last of use, and capturing is given up.</returns>
    public bool TryStartOver(string reason)
    {
        Drop();
        (_signature, IsProven) = (null, false);
        if (++_starts == MaxStarts)
        {
            Refuse(reason);
        }

        return !IsRefused;
    }

    /// <summary>Frees the graph, if there is one, because its memory is needed.</summary>
    /// <returns>False when this has happened a few times, and capturing is given up.</returns>
    public bool TryGiveUp()
    {
        if (Graph is null)
        {
            return true;
        }

        Drop();
        if (++_timesGivenUp == MaxTimesGivenUp)
        {
            Refuse("the device has not enough memory to keep the graph of the step besides what else it holds");
        }

        return !IsRefused;
    }

    /// <summary>Gives capturing up.</summary>
    public void Refuse(string reason)
    {
        Status = new CaptureStatus(CaptureState.Refused, reason);
        Dispose();
    }

    /// <summary>Frees the graph and its inputs.</summary>
    public void Dispose()
    {
        Drop();
        foreach (var input in _inputs ?? [])
        {
            input.Dispose();
        }

        _inputs = null;
    }
}
