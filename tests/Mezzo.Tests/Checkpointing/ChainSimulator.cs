// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;

namespace Mezzo.Tests.Checkpointing;

/// <summary>What a pass over a chain took.</summary>
internal readonly record struct ChainRun(double Time, long PeakBytes, int Forwards);

/// <summary>
/// Runs a schedule stage by stage on a list of what is live: the oracle of <see cref="ChainSolver"/>. What a stage takes must be
/// live when it runs.
/// </summary>
internal sealed class ChainSimulator(Chain chain)
{
    // Number v is the input of stage v; a tape holds the output of its stage, which then is no value of its own.
    private readonly HashSet<int> _values = [0];
    private readonly HashSet<int> _tapes = [];
    private readonly HashSet<int> _gradients = [];
    private double _time;
    private long _peak;
    private int _forwards;

    /// <summary>Forward and backward pass, with memory for the gradient of the output reserved from the start.</summary>
    public ChainRun Run(IReadOnlyList<ChainSegment> schedule)
    {
        _gradients.Add(chain.Stages.Length);
        Run(0, chain.Stages.Length - 1, schedule, again: false);
        Require(_tapes.Count == 0 && _gradients.SetEquals([0]), "only the input's gradient is left");
        return new ChainRun(_time, _peak, _forwards);
    }

    private void Run(int first, int last, IReadOnlyList<ChainSegment> segments, bool again)
    {
        var parts = new List<(int First, int Last, ChainSegment? Segment)>();
        for (int s = first; s <= last; s = parts[^1].Last + 1)
        {
            var segment = segments.SingleOrDefault(segment => segment.First == s);
            parts.Add(segment is null ? (s, s, null) : (s, segment.Last, segment));
        }

        Require(parts.Count(part => part.Segment is not null) == segments.Count && parts[^1].Last == last, "segments are disjoint and within");
        foreach (var part in parts)
        {
            if (part.Segment is null)
            {
                var stage = chain.Stages[part.First];
                Forward(part.First, again && part.First == last ? stage.RecomputeTime : stage.ForwardTime, keep: true);
            }
            else
            {
                Drop(part.First, part.Last);
            }
        }

        for (int p = parts.Count - 1; p >= 0; p--)
        {
            var part = parts[p];
            if (part.Segment is null)
            {
                Backward(part.First);
            }
            else
            {
                Run(part.First, part.Last, part.Segment.Inner, again: true);
            }

            // The input of the first part belongs to the caller.
            bool isHeld = p == 0 || (parts[p - 1].Segment is not null && chain.Stages[part.First - 1].HoldsOutput);
            if (!isHeld)
            {
                _values.Remove(part.First);
            }
        }
    }

    private void Drop(int first, int last)
    {
        for (int s = first; s <= last; s++)
        {
            Forward(s, chain.Stages[s].ForwardTime, keep: false);
            if (s > first)
            {
                _values.Remove(s);
            }
        }
    }

    private void Forward(int s, double time, bool keep)
    {
        RequireLive(s);
        if (keep)
        {
            Require(_tapes.Add(s), "a stage has one tape");
            _values.Remove(s + 1);
        }
        else
        {
            _values.Add(s + 1);
        }

        _forwards++;
        Advance(time, chain.Stages[s].ForwardTemporaryBytes);
    }

    private void Backward(int s)
    {
        RequireLive(s);
        Advance(chain.Stages[s].BackwardTime, chain.Stages[s].BackwardTemporaryBytes);
        Require(_tapes.Remove(s) && _gradients.Remove(s + 1) && _gradients.Add(s), "tape and gradient are live");
    }

    // Thousands of schedules are run: a constraint for each of these would take most of the time.
    private static void Require(bool condition, string what)
    {
        if (!condition)
        {
            Assert.Fail($"Not so: {what}.");
        }
    }

    private void Advance(double time, long temporaryBytes)
    {
        _time += time;
        long values = _values.Where(v => !_tapes.Contains(v - 1)).Sum(Bytes);
        _peak = Math.Max(_peak, values + _tapes.Sum(s => chain.Stages[s].TapeBytes) + _gradients.Sum(Bytes) + temporaryBytes);
    }

    private void RequireLive(int v) => Require(_values.Contains(v) || _tapes.Contains(v - 1), "the input is live");

    private long Bytes(int v) => v == 0 ? chain.InputBytes : chain.Stages[v - 1].OutputBytes;
}
