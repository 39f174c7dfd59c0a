// SPDX-License-Identifier: MIT
using System.Diagnostics;
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo.Checkpointing;

/// <summary>Measures the ops of one run of a step: their bytes, their seconds, and which tensors pass between them.</summary>
internal sealed class TapeRecorder : TapeObserver
{
    private readonly Device _device;
    private readonly List<TapeOp> _ops = [];
    private readonly List<TapeTensor> _tensors = [];
    private readonly List<Tensor> _made = []; // the tensors themselves, by number
    private readonly Dictionary<Tensor, int> _numbers = [];
    private readonly Dictionary<Operation, int> _positions = [];
    private readonly List<int> _there = []; // those that have not been freed
    private readonly GradientsAside _gradients;
    private readonly Squeeze _squeeze;
    private readonly HashSet<int> _dropped = [];
    private readonly long _bytesBefore;
    private readonly int _thread = Environment.CurrentManagedThreadId;
    private CheckpointRegion? _region;
    private Tensor? _lastOutput;
    private long _bytesAfterOp;
    private long _bytesAtStart;
    private long _freedBytes;
    private long _start;

    private TapeRecorder(Device device, GradientsAside gradients, Squeeze squeeze)
    {
        (_device, _gradients, _squeeze) = (device, gradients, squeeze);
        _bytesAfterOp = device.Memory.CurrentBytes;
        _bytesBefore = _bytesAfterOp - gradients.Bytes;
    }

    protected override bool IsTrial => true;

    /// <summary>Runs a step a few times and measures it. Nothing of it stays behind, gradients included.</summary>
    /// <param name="device">Where its ops run.</param>
    /// <param name="runs">Number of runs, of which the fastest counts for each op, after one to warm up.</param>
    /// <param name="forward">The part of the forward pass that a plan is for.</param>
    /// <param name="finish">The rest of it: takes what the first part returns and returns what to differentiate, a scalar.</param>
    /// <param name="accumulates">Whether gradients of an earlier micro-batch are there, which are added to.</param>
    /// <exception cref="InvalidOperationException">The runs are not of the same ops.</exception>
    public static TapeRecord Measure<T>(Device device, int runs, Func<T> forward, Func<T, Tensor> finish, bool accumulates = false)
    {
        // What the program has dropped must not be freed in the middle of it.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        using var gradients = new GradientsAside(accumulates);
        var squeeze = WarmUp(device, gradients, forward, finish);
        var record = Run(device, gradients, squeeze, forward, finish);
        for (int run = 1; run < runs; run++)
        {
            record = record.Fastest(Run(device, gradients, squeeze, forward, finish));
        }

        return record;
    }

    public override void BeforeForward(Operation operation)
    {
        if (Environment.CurrentManagedThreadId != _thread)
        {
            throw new InvalidOperationException($"The step runs {operation.Name} on another thread than the ops before: such a step cannot be planned for.");
        }

        // Not right after the op, when the program has not said yet what it needs no longer.
        if (_region is not null && _ops.Count % _squeeze.RegionOps == 0)
        {
            EndRegion(_lastOutput!);
        }

        // What was dropped to fit, and is read once more, is no part of the op's work.
        long bytes = _device.Memory.CurrentBytes;
        foreach (var input in operation.Inputs)
        {
            input.BringBack();
        }

        _bytesAfterOp += _device.Memory.CurrentBytes - bytes;
        _freedBytes = TakeFreed(_ops.Count - 1);
        if (_squeeze != Squeeze.None && _region is null)
        {
            _region = CheckpointRegion.Begin();
        }

        Start();
    }

    public override void AfterForward(Operation operation, Tensor output)
    {
        double seconds = Stop();
        if (output.Device != _device)
        {
            throw new ArgumentException($"The step runs {operation.Name} on {output.Device}, expected all of it on {_device}, the device that it is measured on.");
        }

        operation.NoteSources(output);
        _gradients.PutAside(operation.Leaves);
        _positions[operation] = _ops.Count;
        int[] made = [.. operation.Made.Select(Number)];
        var op = new TapeOp(
            operation.Name, LayerOf(operation), operation.RecomputeClass == RecomputeClass.Cheap, Known(operation.Sources.Select(source => source.Tensor)), made, Known(operation.SavedTensors))
        {
            ForwardSeconds = seconds,
            ForwardPeak = _device.Memory.PeakBytes - _bytesAtStart,
            EndsWithRelu = operation.EndsWithRelu,
            MaskSeconds = operation.EndsWithRelu && _device.AvailableMemory > 2 * TapeRecord.AlignedBytes(output) ? MeasureMask(output) : 0,
        };
        foreach (int source in op.Sources)
        {
            _tensors[source].LastUse = _ops.Count;
        }

        foreach (int saved in op.Saved)
        {
            _tensors[saved].Saves++;
        }

        _freedBytes += TakeFreed(_ops.Count);
        long bytes = _device.Memory.CurrentBytes;
        op.OtherBytes = bytes - _bytesAfterOp - made.Sum(number => _tensors[number].Bytes) + _freedBytes;
        _bytesAfterOp = bytes;
        _ops.Add(op);
        _lastOutput = output;
    }

    public override void Read(Tensor tensor)
    {
        if (!BackwardPass.IsRunning && _numbers.TryGetValue(tensor, out int number))
        {
            // What reads it does so before the next op.
            _tensors[number].IsReadOtherwise = true;
            _tensors[number].LastUse = _ops.Count;
        }
    }

    public override void Share(Tensor tensor)
    {
        if (_numbers.TryGetValue(tensor, out int number))
        {
            _tensors[number].IsKept = _tensors[_tensors[number].Storage].IsKept = true;
        }
    }

    public override void BeforeBackward(Operation operation)
    {
        foreach (var saved in operation.SavedTensors)
        {
            saved.BringBack();
        }

        Start();
    }

    public override void AfterBackward(Operation operation)
    {
        double seconds = Stop();
        if (_positions.TryGetValue(operation, out int position))
        {
            var op = _ops[position];
            op.BackwardSeconds = seconds;
            op.BackwardPeak = _device.Memory.PeakBytes - _bytesAtStart;
            op.BackwardBytes = _device.Memory.CurrentBytes - _bytesAtStart;
        }
    }

    /// <summary>Runs the step, and finds how much it must be squeezed to fit.</summary>
    private static Squeeze WarmUp<T>(Device device, GradientsAside gradients, Func<T> forward, Func<T, Tensor> finish)
    {
        Squeeze[] squeezes = [Squeeze.None, new(32), new(8), new(2), .. device.Type == DeviceType.Cpu ? [] : new Squeeze[] { new(2, CopiesToHost: true) }];
        for (int i = 0; ; i++)
        {
            try
            {
                Run(device, gradients, squeezes[i], forward, finish);
                return squeezes[i];
            }
            catch (MezzoException exception) when (exception.Status == MezzoStatus.OutOfMemory && i + 1 < squeezes.Length)
            {
                gradients.Clear();
            }
        }
    }

    private static TapeRecord Run<T>(Device device, GradientsAside gradients, Squeeze squeeze, Func<T> forward, Func<T, Tensor> finish)
    {
        using var scope = TensorScope.Begin();
        var recorder = new TapeRecorder(device, gradients, squeeze);
        int planned;
        using (recorder.Install())
        {
            try
            {
                var result = forward();
                planned = recorder._ops.Count;
                var root = finish(result);
                recorder.EndRegion(root);
                root.Backward();
            }
            finally
            {
                recorder._region?.Abandon();
            }
        }

        foreach (var view in recorder._tensors)
        {
            view.LastUse = Math.Min(view.LastUse, recorder._ops.Count - 1); // what was read behind the last op

            // The elements of a view are those of what it is a view of.
            var storage = recorder._tensors[view.Storage];
            storage.LastUse = Math.Max(storage.LastUse, view.LastUse);
        }

        gradients.EndRun();
        return new TapeRecord(recorder._ops, recorder._tensors, planned, recorder._bytesBefore, IsWhole: squeeze == Squeeze.None);
    }

    /// <summary>Notes which tensors are transient, and ends the region that makes the step fit, if there is one.</summary>
    private void EndRegion(Tensor output)
    {
        foreach (int number in _there)
        {
            _tensors[number].IsTransient |= _made[number].IsTransient && !_dropped.Contains(number);
            _tensors[number].IsKept |= _made[number].IsKept;
        }

        if (_region is null)
        {
            return;
        }

        _region.End([output]);
        _region = null;
        if (_squeeze.CopiesToHost)
        {
            CopyToHost(output);
        }

        foreach (int number in _there.Where(number => _made[number].IsDropped))
        {
            _dropped.Add(number);
        }

        _bytesAfterOp = _device.Memory.CurrentBytes;
    }

    /// <summary>Frees what regions have kept, but for the tensor that flows on.</summary>
    private void CopyToHost(Tensor output)
    {
        foreach (int number in _there)
        {
            var made = _made[number];
            if (made != output && made is { CanBePutAside: true, SaveCount: > 0, IsView: false })
            {
                var copy = new HostCopy(made);
                copy.Wait();
                made.PutAside(copy);
            }
        }
    }

    /// <summary>Bytes of tensors that have been freed since this was asked last, after the op at a position.</summary>
    private long TakeFreed(int position)
    {
        long bytes = 0;
        _there.RemoveAll(number =>
        {
            if (!_made[number].IsDisposed && (!_made[number].IsDropped || _dropped.Contains(number)))
            {
                return false;
            }

            _tensors[number].IsTransient = true;
            _tensors[number].LastUse = Math.Max(_tensors[number].LastUse, position);
            bytes += _tensors[number].Bytes;
            return true;
        });
        return bytes;
    }

    private void Start()
    {
        _device.Synchronize();
        _device.ResetPeakMemory();
        _bytesAtStart = _device.Memory.CurrentBytes;
        _start = Stopwatch.GetTimestamp();
    }

    private double Stop()
    {
        _device.Synchronize();
        return Stopwatch.GetElapsedTime(_start).TotalSeconds;
    }

    private double MeasureMask(Tensor output)
    {
        Start();
        using var mask = new ReluMask(output);
        mask.Restore().FreeNow();
        return Stop();
    }

    private int Number(Tensor made)
    {
        int number = _tensors.Count;
        int viewed = made.IsView ? _made.FindLastIndex(made.SharesElements) : -1;
        _tensors.Add(new TapeTensor(made.ElementCount, made.IsView ? 0 : TapeRecord.AlignedBytes(made), _ops.Count, viewed < 0 ? number : _tensors[viewed].Storage));
        _made.Add(made);
        _there.Add(number);
        _numbers[made] = number;
        return number;
    }

    private string LayerOf(Operation operation)
    {
        if (operation.Leaves.OfType<Parameter>().FirstOrDefault() is not { } parameter)
        {
            return _ops.Count > 0 ? _ops[^1].Layer : "before any layer";
        }

        int end = parameter.Name.LastIndexOf('.');
        return end < 0 ? parameter.Name : parameter.Name[..end];
    }

    private int[] Known(IEnumerable<Tensor> tensors) =>
        [.. tensors.Where(_numbers.ContainsKey).Select(tensor => _numbers[tensor])];

    /// <summary>How a step is made to fit while it is measured.</summary>
    /// <param name="RegionOps">Number of ops that are checkpointed at a time.</param>
    /// <param name="CopiesToHost">Whether what is kept between them is copied to the host.</param>
    private readonly record struct Squeeze(int RegionOps, bool CopiesToHost = false)
    {
        /// <summary>Not at all.</summary>
        public static Squeeze None { get; } = new(int.MaxValue);
    }
}
