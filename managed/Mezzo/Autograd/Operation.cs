// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;

namespace Mezzo.Autograd;

/// <summary>
/// One application of an op: computes an output from inputs, and afterwards stands for it on the tape.
/// Every op derives its own, in one file with its public method, and declares there how autocast and
/// checkpointing treat it.
/// </summary>
internal abstract partial class Operation
{
    private static long _nextSequence;
    private readonly List<SavedTensor> _saved = [];
    private Tensor?[] _inputs = [];
    private List<Tensor>? _own; // made for the backward pass alone
    private bool _released;
    private bool _mayOverwriteGradient;

    /// <summary>The op's name, as in the C ABI.</summary>
    public abstract string Name { get; }

    /// <summary>What autocast does to the inputs.</summary>
    public virtual CastPolicy CastPolicy => CastPolicy.AsIs;

    /// <summary>What computing the output once more costs.</summary>
    public virtual RecomputeClass RecomputeClass => RecomputeClass.Cheap;

    /// <summary>
    /// Whether the op ends with a ReLU whose output is still what it was, so that its backward pass begins by setting the
    /// gradient to 0 where the output is at most 0. The only op that used the output may do that in its place, see
    /// <see cref="LeadingRelu"/>.
    /// </summary>
    internal virtual bool EndsWithRelu => false;

    /// <summary>Number of gradients that the backward pass that is running will add up for the output.</summary>
    internal int ExpectedGradients { get; set; }

    /// <summary>Position on the tape: an op comes after those that made its inputs.</summary>
    internal long Sequence { get; private set; }

    /// <summary>The gradient of the output while a backward pass runs.</summary>
    internal GradientSlot OutputGradient { get; private set; } = null!;

    /// <summary>The ops whose outputs this one took, as far as their gradients are wanted.</summary>
    internal IEnumerable<Operation> Producers =>
        from input in _inputs where input?.Producer is not null select input.Producer;

    /// <summary>
    /// Runs an op: casts its inputs as autocast demands, computes the output, and records the op when
    /// an input needs a gradient.
    /// </summary>
    internal static Tensor Apply(Operation operation, params ReadOnlySpan<Tensor?> inputs)
    {
        operation._inputs = Autocast.CastInputs(operation, inputs);
        CaptureTrace.Current?.Apply(operation, operation._inputs);
        bool isRecorded = NoGrad.IsRecording && Array.Exists(operation._inputs, input => input is { RequiresGrad: true });
        var lastObserver = isRecorded ? TapeObserver.Last : null;
        for (var observer = lastObserver; observer is not null; observer = observer.Outer)
        {
            observer.BeforeForward(operation);
        }

        var output = operation.Forward();
        OpManifest.Add(operation.Name, operation._inputs, output);
        if (isRecorded)
        {
            operation.Sequence = Interlocked.Increment(ref _nextSequence);
            operation.OutputGradient = new GradientSlot(output, isLeaf: false);
            output.Record(operation);
            CheckpointRegion.Current?.Add(operation, output);
        }
        else
        {
            operation.Release();
            foreach (var input in operation.Inputs)
            {
                TapeObserver.TellOfRead(input);
                if (output.IsView && output.SharesElements(input))
                {
                    TapeObserver.TellOfView(input);
                }
            }
        }

        for (int i = 0; i < inputs.Length; i++)
        {
            if (operation._inputs[i] != inputs[i])
            {
                operation._inputs[i]!.FreeIfUnused();
            }
        }

        for (var observer = lastObserver; observer is not null; observer = observer.Outer)
        {
            observer.AfterForward(operation, output);
        }

        return output;
    }

    /// <summary>
    /// Notes the numbers, choices and tensors that the op was given besides its inputs, so that two captures that
    /// differ in one of them are told apart. An op whose constructor takes anything overrides it.
    /// </summary>
    internal virtual void Describe(CaptureTrace trace)
    {
    }

    /// <summary>Whether autocast casts an input. Ops override it for inputs that are better left alone.</summary>
    internal virtual bool CastsInput(int index) => true;

    /// <summary>
    /// Whether an input that is a parameter may be f32 beside 16-bit inputs, so that the op takes its f32 elements rather than the
    /// 16-bit ones that other ops see (<see cref="Parameter.ComputeDType"/>).
    /// </summary>
    internal virtual bool TakesMaster(int index) => false;

    /// <summary>Computes the gradients of the inputs from that of the output, if there is any.</summary>
    internal void RunBackward()
    {
        _mayOverwriteGradient = !OutputGradient.IsShared;
        GradientIsMasked = OutputGradient.IsMasked;
        using var gradOutput = OutputGradient.Take();
        if (gradOutput is null)
        {
            return;
        }

        if (_released)
        {
            throw new InvalidOperationException(
                $"Trying to backward through the graph a second time: the values that {Name} saved were freed by the first Backward(). " +
                "Specify retainGraph: true there if you need to backward through the graph again.");
        }

        FetchTensors();

        // Before any gradient is allocated, so that recomputing has that memory.
        foreach (var saved in _saved)
        {
            saved.Tensor.BringBack();
        }

        Backward(gradOutput);
    }

    /// <summary>Tells the gradients of the inputs that a backward pass failed on the way.</summary>
    internal void Abandon()
    {
        foreach (var input in _inputs)
        {
            if (input is { RequiresGrad: true })
            {
                input.GradientSlot.Abandon();
            }
        }
    }

    /// <summary>Lets go of the saved tensors, and frees those that nobody else needs.</summary>
    internal void Release()
    {
        _released = true;
        foreach (var saved in _saved)
        {
            saved.Tensor.SaveCount--;
            saved.Tensor.FreeIfUnused();
        }

        _saved.Clear();
        _fetched = null;
        LeaveRegion();
    }

    /// <summary>
    /// A buffer for the sum over all rows of the masked gradient of an op that <see cref="EndsWithRelu"/>: its bias
    /// gradient; null when nobody wants it.
    /// </summary>
    internal virtual GradientBuffer? LendRowSum() => null;

    /// <summary>Computes the output from the inputs and saves what the backward pass needs.</summary>
    protected abstract Tensor Forward();

    /// <summary>Writes or adds the gradients of those inputs for which <see cref="NeedsGradient"/> holds.</summary>
    /// <param name="gradOutput">Gradient of the output; freed by the caller afterwards.</param>
    protected abstract void Backward(Tensor gradOutput);

    /// <summary>Number of inputs.</summary>
    protected int InputCount => _inputs.Length;

    /// <summary>An input, after autocast.</summary>
    protected Tensor Input(int index) => _inputs[index]!;

    /// <summary>An input that may be absent.</summary>
    protected Tensor? OptionalInput(int index) => _inputs[index];

    /// <summary>Keeps a tensor for the backward pass.</summary>
    protected SavedTensor Save(Tensor tensor)
    {
        if (IsRecomputing)
        {
            return SavedBefore(tensor);
        }

        tensor.SaveCount++;
        _saved.Add(new SavedTensor(tensor, Name, isForGradient: true));
        return _saved[^1];
    }

    /// <summary>Keeps an input that may be absent.</summary>
    protected SavedTensor? SaveOptional(int index) => OptionalInput(index) is { } tensor ? Save(tensor) : null;

    /// <summary>Keeps a tensor that the op made for its backward pass alone, to which the program has no reference.</summary>
    protected SavedTensor SaveOwn(Tensor tensor)
    {
        tensor.IsTransient = true;
        if (!IsRecomputing)
        {
            (_own ??= []).Add(tensor);
        }

        return Save(tensor);
    }

    /// <summary>Whether the gradient given to <see cref="Backward"/> is masked already, and its sum over rows taken.</summary>
    protected bool GradientIsMasked { get; private set; }

    /// <summary>
    /// The op whose ReLU made an input that nothing else has used: whoever writes that input's gradient may mask it, and
    /// has then to call <see cref="GradientSlot.MarkMasked"/> and to fill what <see cref="LendRowSum"/> lends.
    /// </summary>
    protected Operation? LeadingRelu(int index) =>
        Input(index).Producer is { EndsWithRelu: true, ExpectedGradients: 1, _released: false } producer ? producer : null;

    /// <summary>Whether the gradient of an input is wanted.</summary>
    protected bool NeedsGradient(int index) => _inputs[index] is { RequiresGrad: true };

    /// <summary>A buffer to write the gradient of an input to, or to add it to; null when it is not wanted.</summary>
    /// <param name="index">Number of the input.</param>
    /// <param name="inPlaceOf">The output's gradient, if the op can overwrite it element by element.</param>
    protected GradientBuffer? LendGradient(int index, Tensor? inPlaceOf = null) =>
        NeedsGradient(index) ? Input(index).GradientSlot.Lend(_mayOverwriteGradient ? inPlaceOf : null) : null;

    /// <summary>A tensor to write the gradient of an input to, for <see cref="AddMadeGradient"/>; null when it is not wanted.</summary>
    protected Tensor? MakeGradient(int index) =>
        NeedsGradient(index) ? Tensor.AllocateOwned(Input(index).Shape, Input(index).DType, Input(index).Device) : null;

    /// <summary>Adds what <see cref="MakeGradient"/> gave and the op has written.</summary>
    protected void AddMadeGradient(int index, Tensor? gradient)
    {
        if (gradient is not null)
        {
            AddGradient(index, gradient);
        }
    }

    /// <summary>Adds a gradient made by this op and gives it away.</summary>
    protected void AddGradient(int index, Tensor gradient) => Input(index).GradientSlot.Add(gradient);

    /// <summary>Adds the output's gradient, or a part of it, unchanged.</summary>
    protected void PassGradient(int index, Tensor gradient) => Input(index).GradientSlot.AddShared(gradient);
}
