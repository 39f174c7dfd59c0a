// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;

namespace Mezzo;

/// <summary>
/// What a training step takes, op by op, and the plans that follow from it: which activations to keep and which to compute
/// once more, for any number of bytes.
/// </summary>
/// <remarks>
/// A measurement runs the step a few times, forward and backward, and changes no parameter, gradient, running statistic or random
/// draw; modules of one's own that change something else change it. It resets <see cref="MemoryStats.PeakBytes"/>.
/// <para>
/// The chain of a step's ops, cut where a single tensor passes, is solved exactly by the dynamic programme of rotor
/// (Herrmann, Beaumont, Eyraud-Dubois and others, "Optimal checkpointing for heterogeneous chains", hal-02352969); each of its
/// solutions is then played through with the measured bytes, which gives the peak.
/// </para>
/// </remarks>
public sealed class CheckpointProfile
{
    private const int Runs = 3;
    private const int MostCandidates = 250;
    private readonly TapeRecord _record;
    private readonly TapeChain _chain;
    private readonly CheckpointPlan[] _onDevice; // the curve of those without copies to the host

    private CheckpointProfile(TapeRecord record)
    {
        _record = record;
        _chain = new TapeChain(record);
        KeepingAll = new CheckpointPlan(record, new TapeSchedule(record, [], keepsCheap: true));
        _onDevice = [.. ParetoFront(Candidates().Append(Plan([])).Append(KeepingAll))];
        Curve = record.CopySpeed is { } speed
            ? [.. ParetoFront([.. _onDevice, .. _onDevice.SelectMany(plan => plan.OffloadChoices(speed).All().Select(plan.With)).Where(plan => plan.OffloadedBytes <= record.HostBytes)])]
            : _onDevice;
    }

    /// <summary>The plan that keeps all that a step without a plan keeps: what checkpointing is compared with.</summary>
    public CheckpointPlan KeepingAll { get; }

    /// <summary>Whether the step fitted into memory without checkpointing when it was measured.</summary>
    public bool FitsKeepingAll => _record.IsWhole;

    /// <summary>Most segments that <see cref="ForSegments"/> makes: the places that the step is cut at, and one.</summary>
    public int MaxSegments => _chain.Stages.Count;

    /// <summary>The plans among which none is better in both bytes and time, from the fewest bytes, which take the longest, to the most.</summary>
    public IReadOnlyList<CheckpointPlan> Curve { get; }

    /// <summary>Measures a loss function.</summary>
    /// <param name="loss">Returns the loss, a scalar, in the autocast that it is to be trained in.</param>
    /// <param name="device">Where it runs; null for <see cref="Device.Default"/>.</param>
    /// <exception cref="ArgumentException">The loss does not require a gradient, or is not a scalar.</exception>
    /// <exception cref="InvalidOperationException">It does not run the same ops each time.</exception>
    public static CheckpointProfile Measure(Func<Tensor> loss, Device? device = null)
    {
        ArgumentNullException.ThrowIfNull(loss);
        return Measure(loss, root => root, device);
    }

    /// <summary>Measures a loss function that something else is done with before the backward pass.</summary>
    /// <param name="loss">The loss function.</param>
    /// <param name="finish">What else is done with the loss.</param>
    /// <param name="device">Where it runs; null for <see cref="Device.Default"/>.</param>
    /// <param name="accumulates">Whether gradients of an earlier micro-batch are there, which are added to.</param>
    /// <param name="isRetained">Whether the backward pass may be repeated.</param>
    internal static CheckpointProfile Measure(Func<Tensor> loss, Func<Tensor, Tensor> finish, Device? device, bool accumulates = false, bool isRetained = false) =>
        Of(device ?? Device.Default, () => loss() ?? throw new ArgumentException("The function returned no loss.", nameof(loss)), root => root is { RequiresGrad: true, ElementCount: 1, Producer: not null }
            ? finish(root)
            : throw new ArgumentException(
                $"The loss is {root.Description}{(root.RequiresGrad ? "" : " and requires no gradient")}, expected a scalar that was computed from what does.", nameof(loss)), accumulates, isRetained);

    /// <summary>Measures a model, with the sum of its outputs as loss.</summary>
    /// <typeparam name="TInput">What the model takes.</typeparam>
    /// <typeparam name="TOutput">A tensor, or a tuple or list of tensors.</typeparam>
    /// <param name="model">The model.</param>
    /// <param name="sample">An input of the size that it is to be trained with.</param>
    /// <param name="device">Where it runs; null for <see cref="Device.Default"/>.</param>
    public static CheckpointProfile Measure<TInput, TOutput>(Module<TInput, TOutput> model, TInput sample, Device? device = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        return Of(device ?? Device.Default, () => model.Forward(sample), result =>
        {
            var sums = TensorsIn.Of(result).Where(output => output.RequiresGrad).Select(output => output.Sum().To(DType.Float64)).ToArray();
            return sums.Length > 0
                ? sums.Aggregate((sum, output) => sum + output)
                : throw new ArgumentException("The model's output has no tensor that requires a gradient.", nameof(model));
        });
    }

    /// <summary>The same step on a device that copies to the host so fast.</summary>
    internal CheckpointProfile With(CopySpeed? speed) => new(_record with { CopySpeed = speed });

    private static CheckpointProfile Of<T>(Device device, Func<T> forward, Func<T, Tensor> finish, bool accumulates = false, bool isRetained = false) =>
        new(TapeRecorder.Measure(device, Runs, forward, finish, accumulates) with
        {
            CopySpeed = CopySpeed.Measure(device),
            HostBytes = Device.Cpu.AvailableMemory,
            IsRetained = isRetained,
        });

    /// <summary>Bytes that the forward pass saves without checkpointing, by layer, the most first.</summary>
    internal IEnumerable<(string Layer, long Bytes)> SavedByLayer => _record.SavedByLayer();

    /// <summary>Live bytes before the step: parameters, states and data.</summary>
    internal long BytesBefore => _record.BytesBefore;

    /// <summary>The fastest plan whose peak is within a budget.</summary>
    /// <param name="bytes">Most bytes of the device's memory, with those that are live before the step: parameters, their states, data.</param>
    /// <remarks>
    /// The bytes are those of a step that runs op by op. The memory of a captured one is laid out once for all launches, which takes as much
    /// to about a percent.
    /// </remarks>
    /// <exception cref="ArgumentOutOfRangeException">No plan takes so few.</exception>
    public CheckpointPlan ForBudget(long bytes)
    {
        var fastest = Curve.LastOrDefault(plan => plan.PredictedPeakBytes <= bytes)
            ?? throw new ArgumentOutOfRangeException(
                nameof(bytes), bytes, $"The smallest plan of this step takes {Smallest().PredictedPeakBytes} bytes, however much of it is computed once more.");

        // Copies that gain no time are not made for bytes that nobody has asked for.
        var onDevice = _onDevice.LastOrDefault(plan => plan.PredictedPeakBytes <= bytes);
        return onDevice?.PredictedSeconds <= fastest.PredictedSeconds ? onDevice : fastest;
    }

    /// <summary>Whether a step fits into so many bytes, if need be by computing all it can once more.</summary>
    public bool WillFit(long bytes) => Smallest().PredictedPeakBytes <= bytes;

    /// <summary>The plan of the least time: nothing is computed once more.</summary>
    public CheckpointPlan Fastest() => ForBudget(long.MaxValue);

    /// <summary>The plan of the fewest bytes.</summary>
    public CheckpointPlan Smallest() => Curve[0];

    /// <summary>
    /// The plan of so many segments, each of which is computed once more but the last, with as few bytes in the largest as
    /// can be.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1, or more than there are places to cut the step at.</exception>
    public CheckpointPlan ForSegments(int count)
    {
        if (count < 1 || count > MaxSegments)
        {
            throw new ArgumentOutOfRangeException(nameof(count), count, $"The number of segments must be from 1 to {MaxSegments}, one more than the places that this step is cut at.");
        }

        long[] bytes = [.. _chain.Stages.Select(stage => stage.TapeBytes)];
        int[] starts = BalancedSplit.Starts(bytes, count);
        return Plan([.. starts.SkipLast(1).Select((start, i) => new ChainSegment(start, starts[i + 1] - 1, []))]);
    }

    private IEnumerable<CheckpointPlan> Candidates()
    {
        long most = _chain.Stages.Sum(stage => stage.TapeBytes + stage.ForwardTemporaryBytes) + _chain.Stages.Max(stage => stage.BackwardTemporaryBytes + stage.OutputBytes);
        var solver = new ChainSolver(_chain.Stages, inputBytes: 0, most);
        int step = Math.Max(1, solver.Curve.Count / MostCandidates);
        return solver.Curve.Where((_, i) => i % step == 0 || i == solver.Curve.Count - 1).Select(point => Plan(solver.ScheduleFor(point.Bytes)));
    }

    private CheckpointPlan Plan(IReadOnlyList<ChainSegment> segments) => new(_record, new TapeSchedule(_record, _chain.RegionsOf(segments)));

    private static IEnumerable<CheckpointPlan> ParetoFront(IEnumerable<CheckpointPlan> plans)
    {
        double best = double.PositiveInfinity;
        foreach (var plan in plans.OrderBy(plan => plan.PredictedPeakBytes).ThenBy(plan => plan.PredictedSeconds))
        {
            if (plan.PredictedSeconds < best)
            {
                best = plan.PredictedSeconds;
                yield return plan;
            }
        }
    }
}
