// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>
/// The fastest forward and backward pass of a chain of stages in a given number of bytes, by running some stages again: the
/// dynamic programme of rotor (Beaumont, Eyraud-Dubois, Herrmann, Joly, Shilova, hal-02352969), which is optimal where what is kept stays
/// until its backward pass.
/// </summary>
/// <remarks>
/// <para>
/// Stage i takes x(i) to x(i + 1). Let f, r, b be its times and t its tape (<see cref="ChainStage"/>), p and p' its temporaries forward
/// and backward. C(m, i, j) is the least time of the forward and backward passes of stages i to j in m bytes, which count the gradient of
/// x(j + 1) from the start and not x(i), which is held outside. Stage j's backward pass comes first, so j is kept:
/// </para>
/// <code>
/// C(m, i, i) = r(i) + b(i)                              if m >= x(i+1) + t(i) + max(p(i), p'(i))
/// C(m, i, j) = min of                                   if m >= e + max(x(i+1) + p(i), max over i&lt;s&lt;j of x(s) + x(s+1) + p(s))
///   f(i) + b(i) + C(m - t(i), i+1, j)                   if m >= max(e + t(i) + p(i), x(i+1) + t(i) + p'(i))
///   f(i) + ... + f(q-1) + C(m - x(q), q, j) + C(m, i, q-1)   over i &lt; q &lt;= j
/// </code>
/// <para>
/// and infinite otherwise. Here e is what is there from the start for the end of the chain: the gradient of x(j + 1) and, if r(j) &lt; f(j),
/// x(j + 1) itself, which is held until j has been run again. Nothing holds the output of the last stage of the whole chain
/// before that stage has run, so r = f there. The answer is C(M - x(0), 0, L - 1). With r = f everywhere this is the paper's recurrence.
/// </para>
/// <para>All m are solved at once, in O(m L^2) memory and O(m L^3) time, with m and all sizes in slots.</para>
/// </remarks>
internal sealed class ChainSolver
{
    // 64 MiB of times.
    private const long MostExactTimes = 1 << 23;

    private readonly ChainTable _table;
    private readonly long _slotBytes;
    private readonly long _inputSlots;
    private readonly long _largestBytes;
    private readonly long _keepAllBytes;
    private readonly double _keepAllTime;

    /// <summary>Solves the chain for all sizes of memory.</summary>
    /// <param name="stages">The stages, at least one.</param>
    /// <param name="inputBytes">Bytes of the first stage's input.</param>
    /// <param name="largestBytes">Most bytes that it may take; more than that counts as that.</param>
    /// <param name="slots">
    /// Number of slots that the bytes are divided into. Sizes are rounded up to slots; they are exact where all are multiples of a slot
    /// that gives at most that many, or a table of moderate size.
    /// </param>
    /// <exception cref="ArgumentException">There is no stage, or one has a tape that is smaller than its output.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is negative, or a time is not finite.</exception>
    public ChainSolver(IReadOnlyList<ChainStage> stages, long inputBytes, long largestBytes, int slots = 500)
    {
        Check(stages, inputBytes, largestBytes, slots);

        // A segment never ends with the last stage, and in the only run of it there is no output yet.
        ChainStage[] chain = [.. stages];
        chain[^1] = chain[^1] with { RecomputeTime = chain[^1].ForwardTime };

        (_keepAllBytes, _keepAllTime) = KeepAll(chain, inputBytes);
        _largestBytes = largestBytes;
        long most = Math.Min(largestBytes, _keepAllBytes);
        _slotBytes = SlotBytes(chain, inputBytes, most, slots);
        _inputSlots = ChainStage.Slots(inputBytes, _slotBytes);
        _table = new ChainTable([.. chain.Select(stage => stage.InSlots(_slotBytes))], (int)Math.Max(0, most / _slotBytes - _inputSlots));
        SmallestBytes = Math.Min(_keepAllBytes, (_inputSlots + _table.Least) * _slotBytes);
        Curve = [.. Front(most)];
    }

    /// <summary>Fewest bytes that the chain can be run in; nothing fits where they are more than the largest number.</summary>
    public long SmallestBytes { get; }

    /// <summary>Each number of bytes from which on it is faster, and the time; both in order.</summary>
    public IReadOnlyList<(long Bytes, double Time)> Curve { get; }

    /// <summary>Seconds of forward and backward pass; infinite where they do not fit.</summary>
    /// <param name="bytes">The bytes, with the chain's input and the gradient of its output.</param>
    public double TimeFor(long bytes) => KeepsAll(bytes) ? Math.Min(_keepAllTime, TableTime(bytes)) : TableTime(bytes);

    /// <summary>The schedule that takes that time: segments, disjoint and in order. Stages in none are kept.</summary>
    /// <param name="bytes">The bytes, with the chain's input and the gradient of its output.</param>
    /// <exception cref="ArgumentOutOfRangeException">The chain does not fit.</exception>
    public IReadOnlyList<ChainSegment> ScheduleFor(long bytes)
    {
        double time = TimeFor(bytes);
        if (double.IsInfinity(time))
        {
            throw new ArgumentOutOfRangeException(
                nameof(bytes),
                $"The bytes are {Math.Min(bytes, _largestBytes)}, expected at least {SmallestBytes}: the chain fits no fewer, however much of it is run again.");
        }

        return KeepsAll(bytes) && _keepAllTime <= time ? [] : _table.Schedule((int)TableSlots(bytes));
    }

    private static long[] Sizes(ChainStage stage) => [stage.OutputBytes, stage.TapeBytes, stage.ForwardTemporaryBytes, stage.BackwardTemporaryBytes];

    private static void Check(IReadOnlyList<ChainStage> stages, long inputBytes, long largestBytes, int slots)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(inputBytes);
        ArgumentOutOfRangeException.ThrowIfNegative(largestBytes);
        ArgumentOutOfRangeException.ThrowIfLessThan(slots, 1);
        if (stages.Count == 0)
        {
            throw new ArgumentException("The chain has no stages, expected at least one.", nameof(stages));
        }

        for (int i = 0; i < stages.Count; i++)
        {
            var stage = stages[i];
            bool isTime = new[] { stage.ForwardTime, stage.RecomputeTime, stage.BackwardTime }.All(time => time >= 0 && double.IsFinite(time));
            if (!isTime || Sizes(stage).Any(size => size < 0))
            {
                throw new ArgumentOutOfRangeException(nameof(stages), $"Stage {i} is {stage}, expected finite numbers of at least 0.");
            }

            if (stage.TapeBytes < stage.OutputBytes)
            {
                throw new ArgumentException(
                    $"Stage {i} keeps {stage.TapeBytes} bytes, expected at least those of its output, {stage.OutputBytes}, which they include.", nameof(stages));
            }
        }
    }

    /// <summary>What it takes to run nothing again. Known without rounding, so that a chain that fits is never run again.</summary>
    private static (long Bytes, double Time) KeepAll(ChainStage[] stages, long inputBytes)
    {
        long kept = inputBytes;
        long most = 0;
        foreach (var stage in stages)
        {
            kept += stage.TapeBytes;
            most = Math.Max(most, kept + stages[^1].OutputBytes + stage.ForwardTemporaryBytes);
            most = Math.Max(most, kept + stage.OutputBytes + stage.BackwardTemporaryBytes);
        }

        return (most, stages.Sum(stage => stage.ForwardTime + stage.BackwardTime));
    }

    private static long SlotBytes(ChainStage[] stages, long inputBytes, long most, int slots)
    {
        long common = Math.Max(1, stages.SelectMany(Sizes).Aggregate(inputBytes, GreatestCommonDivisor));
        long parts = (long)stages.Length * (stages.Length + 1) / 2;
        return most / common <= Math.Max(slots, MostExactTimes / parts) ? common : ChainStage.Slots(most, slots);
    }

    private static long GreatestCommonDivisor(long a, long b)
    {
        while (b != 0)
        {
            (a, b) = (b, a % b);
        }

        return a;
    }

    private bool KeepsAll(long bytes) => Math.Min(bytes, _largestBytes) >= _keepAllBytes;

    private long TableSlots(long bytes) => Math.Min(Math.Min(bytes, _largestBytes) / _slotBytes - _inputSlots, _table.Slots);

    private double TableTime(long bytes)
    {
        long slots = TableSlots(bytes);
        return slots < 0 ? double.PositiveInfinity : _table.Time((int)slots);
    }

    private IEnumerable<(long Bytes, double Time)> Front(long most)
    {
        double least = double.PositiveInfinity;
        for (long slots = _inputSlots; slots <= most / _slotBytes + 1; slots++)
        {
            // Behind the last whole slot comes what there is at most, where all may fit unrounded.
            long bytes = Math.Min(slots * _slotBytes, most);
            double time = TimeFor(bytes);
            if (time < least)
            {
                least = time;
                yield return (bytes, time);
            }
        }
    }
}
