// SPDX-License-Identifier: MIT
using System.Numerics;

namespace Mezzo.Checkpointing;

/// <summary>The dynamic programme of <see cref="ChainSolver"/>, which states it, with sizes in slots of memory.</summary>
internal sealed class ChainTable
{
    private readonly ChainStage[] _stages;

    // C(., i, j), a time for each number of slots: the innermost loop runs along it.
    private readonly double[][] _times;
    private readonly long[] _least;

    /// <summary>Solves the chain and all its parts.</summary>
    /// <param name="stages">The stages, with sizes in slots.</param>
    /// <param name="slots">Largest number of slots beside the chain's input.</param>
    public ChainTable(ChainStage[] stages, int slots)
    {
        (_stages, Slots) = (stages, slots);
        int count = stages.Length;
        _times = new double[count * count][];
        _least = new long[count * count];

        // Of the forward runs of stages i to j - 1 with nothing kept but i's input.
        long[] peaks = new long[count];
        for (int i = 0; i < count; i++)
        {
            FillSingle(i);
            peaks[i] = stages[i].OutputBytes + stages[i].ForwardTemporaryBytes;
        }

        for (int length = 2; length <= count; length++)
        {
            for (int i = 0, j = length - 1; j < count; i++, j++)
            {
                if (length > 2)
                {
                    peaks[i] = Math.Max(peaks[i], stages[j - 2].OutputBytes + stages[j - 1].OutputBytes + stages[j - 1].ForwardTemporaryBytes);
                }

                Fill(i, j, peaks[i]);
            }
        }
    }

    /// <summary>Largest number of slots.</summary>
    public int Slots { get; }

    /// <summary>Fewest slots that the chain can be run in, which may be more than <see cref="Slots"/>.</summary>
    public long Least => _least[At(0, _stages.Length - 1)];

    /// <summary>Time of the whole chain; infinite where it does not fit.</summary>
    /// <param name="slots">Number of slots, at most <see cref="Slots"/>.</param>
    public double Time(int slots) => _times[At(0, _stages.Length - 1)][slots];

    /// <summary>The schedule that takes that time.</summary>
    /// <param name="slots">Number of slots that the chain fits.</param>
    public List<ChainSegment> Schedule(int slots) => Schedule(slots, 0, _stages.Length - 1);

    private int At(int i, int j) => i * _stages.Length + j;

    private double[] NewRow(int i, int j)
    {
        double[] times = new double[Slots + 1];
        Array.Fill(times, double.PositiveInfinity);
        return _times[At(i, j)] = times;
    }

    private void FillSingle(int i)
    {
        var stage = _stages[i];
        long start = stage.OutputBytes + stage.TapeBytes + Math.Max(stage.ForwardTemporaryBytes, stage.BackwardTemporaryBytes);
        _least[At(i, i)] = start;
        NewRow(i, i).AsSpan(Begin(start)).Fill(stage.RecomputeTime + stage.BackwardTime);
    }

    private void Fill(int i, int j, long peak)
    {
        long least = End(j) + peak;
        long start = Math.Max(least, KeptSlots(i, j));
        long tape = _stages[i].TapeBytes;
        double kept = KeptTime(i);
        double[] times = NewRow(i, j);
        double[] rest = _times[At(i + 1, j)];
        for (int m = Begin(start); m < times.Length; m++)
        {
            times[m] = kept + rest[m - tape];
        }

        long fewest = start;
        double forward = 0;
        for (int q = i + 1; q <= j; q++)
        {
            forward += _stages[q - 1].ForwardTime;
            long input = _stages[q - 1].OutputBytes;
            start = Math.Max(least, Math.Max(input + _least[At(q, j)], _least[At(i, q - 1)]));
            fewest = Math.Min(fewest, start);
            if (start < times.Length)
            {
                Lower(times.AsSpan((int)start), forward, _times[At(q, j)].AsSpan((int)(start - input)), _times[At(i, q - 1)].AsSpan((int)start));
            }
        }

        _least[At(i, j)] = fewest;
    }

    private int Begin(long start) => (int)Math.Min(start, Slots + 1L);

    /// <summary>What is there from the start for the end of stages that end with j.</summary>
    private long End(int j) => _stages[j].HoldsOutput ? 2 * _stages[j].OutputBytes : _stages[j].OutputBytes;

    private double KeptTime(int i) => _stages[i].ForwardTime + _stages[i].BackwardTime;

    /// <summary>Slots that stages i to j take where i is kept, if the others can be run at all.</summary>
    private long KeptSlots(int i, int j)
    {
        var stage = _stages[i];
        long beside = Math.Max(End(j) + stage.ForwardTemporaryBytes, stage.OutputBytes + stage.BackwardTemporaryBytes);
        return stage.TapeBytes + Math.Max(beside, _least[At(i + 1, j)]);
    }

    private static void Lower(Span<double> times, double forward, ReadOnlySpan<double> right, ReadOnlySpan<double> left)
    {
        int k = 0;
        var forwards = new Vector<double>(forward);
        for (; k <= times.Length - Vector<double>.Count; k += Vector<double>.Count)
        {
            Vector.Min(new Vector<double>(times[k..]), forwards + new Vector<double>(right[k..]) + new Vector<double>(left[k..])).CopyTo(times[k..]);
        }

        for (; k < times.Length; k++)
        {
            times[k] = Math.Min(times[k], forward + right[k] + left[k]);
        }
    }

    // What was chosen is found again instead of remembered: O(L) for each choice, and no second table.
    private List<ChainSegment> Schedule(int slots, int i, int j)
    {
        var segments = new List<ChainSegment>();
        while (i < j)
        {
            int q = Checkpoint(slots, i, j);
            if (q == i)
            {
                slots -= (int)_stages[i].TapeBytes;
                i++;
            }
            else
            {
                segments.Add(new ChainSegment(i, q - 1, Schedule(slots, i, q - 1)));
                slots -= (int)_stages[q - 1].OutputBytes;
                i = q;
            }
        }

        return segments;
    }

    /// <summary>The stage q that is run next with its input kept and all before it dropped; i where stage i is kept.</summary>
    private int Checkpoint(int slots, int i, int j)
    {
        int best = i;
        double time = slots >= KeptSlots(i, j) ? KeptTime(i) + _times[At(i + 1, j)][slots - _stages[i].TapeBytes] : double.PositiveInfinity;
        double forward = 0;
        for (int q = i + 1; q <= j; q++)
        {
            forward += _stages[q - 1].ForwardTime;
            long right = slots - _stages[q - 1].OutputBytes;
            if (right >= 0 && forward + _times[At(q, j)][right] + _times[At(i, q - 1)][slots] is double run && run < time)
            {
                (best, time) = (q, run);
            }
        }

        return best;
    }
}
