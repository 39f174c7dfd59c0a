// SPDX-License-Identifier: MIT
using FsCheck;
using FsCheck.Fluent;
using Mezzo.Checkpointing;
using Microsoft.FSharp.Core;

namespace Mezzo.Tests.Checkpointing;

/// <summary>
/// The solver against its source's numbers and recurrence, Revolve's closed form, a simulator that runs what it plans, and for short
/// chains all schedules that there are.
/// </summary>
internal sealed class ChainSolverTests
{
    private static readonly FSharpOption<Replay> Seed = new(new Replay(new Rnd(17), null));
    private static readonly Chain Eight = Chain.Uniform(8, new ChainStage(1, 1, 2, 1, 3));

    [TestCase(5, double.PositiveInfinity)]
    [TestCase(6, 52)]
    [TestCase(7, 38)]
    [TestCase(8, 34)]
    [TestCase(9, 32)]
    [TestCase(10, 31)]
    [TestCase(13, 29)]
    [TestCase(18, 27)]
    [TestCase(25, 25)]
    [TestCase(26, 24)]
    [TestCase(1000, 24)]
    public void Times_OfEightStages_AreRotors(long bytes, double time) =>
        Assert.That(Eight.Solve(largestBytes: 1000).TimeFor(bytes), Is.EqualTo(time));

    [Test]
    public void Times_AreThoseOfRotorsRecurrence() => Holds(Chain.Random(longest: 9, largest: 6, rotor: true), 100, chain =>
    {
        var solver = chain.Solve();
        var oracle = new Rotor(chain);
        for (long bytes = 0; bytes <= chain.KeepAllBytes; bytes++)
        {
            Assert.That(solver.TimeFor(bytes), Is.EqualTo(oracle.Time(bytes)), $"in {bytes} bytes");
        }
    });

    [TestCase(10, 3, 15)]
    [TestCase(16, 3, 33)]
    [TestCase(64, 8, 137)]
    [TestCase(100, 5, 316)]
    public void Advances_AreRevolves(int steps, int snapshots, int advances) =>
        Assert.That((Revolve(steps, snapshots), Advances(steps, snapshots, rerun: 1)), Is.EqualTo((advances, advances)));

    [Test]
    public void Advances_OfShortChains_AreRevolves([Values(0, 1)] double rerun)
    {
        for (int steps = 1; steps <= 25; steps++)
        {
            for (int snapshots = 1; snapshots <= 5; snapshots++)
            {
                Assert.That(Advances(steps, snapshots, rerun), Is.EqualTo(Revolve(steps, snapshots)), $"{steps} steps, {snapshots} snapshots");
            }
        }
    }

    [Test]
    public void Schedules_TakeTheTimeAndTheBytesOfTheCurve() => Holds(Chain.Random(longest: 14, largest: 9), 200, chain =>
    {
        var solver = chain.Solve();
        Assert.That(solver.Curve[0].Bytes, Is.EqualTo(solver.SmallestBytes));
        Assert.That(solver.TimeFor(solver.SmallestBytes - 1), Is.EqualTo(double.PositiveInfinity));
        Assert.That(solver.Curve[^1].Time, Is.EqualTo(chain.KeepAllTime));
        Assert.That(solver.Curve, Is.Ordered.Ascending.By("Item1").Then.Descending.By("Item2"));
        foreach (var (bytes, time) in solver.Curve)
        {
            var run = new ChainSimulator(chain).Run(solver.ScheduleFor(bytes));
            Assert.That((run.PeakBytes, run.Time, solver.TimeFor(bytes)), Is.EqualTo((bytes, time, time)));
        }
    });

    [Test]
    public void Schedules_WithSizesRoundedToSlots_FitTheBytes() => Holds(Chain.Random(longest: 30, largest: 2_000_000_000), 100, chain =>
    {
        var solver = chain.Solve(slots: 60);
        for (int i = 0; i <= 50; i++)
        {
            long bytes = chain.KeepAllBytes / 50 * i;
            double time = solver.TimeFor(bytes);
            if (double.IsInfinity(time))
            {
                Assert.That(bytes, Is.LessThan(solver.SmallestBytes));
                continue;
            }

            var run = new ChainSimulator(chain).Run(solver.ScheduleFor(bytes));
            Assert.That(run.Time, Is.EqualTo(time));
            Assert.That(run.PeakBytes, Is.LessThanOrEqualTo(bytes));
        }

        Assert.That(solver.TimeFor(chain.KeepAllBytes), Is.EqualTo(chain.KeepAllTime), "what fits is not run again, however coarse the slots");
    });

    [Test]
    public void Sizes_WithACommonDivisor_AreExact()
    {
        const long Unit = 3L << 30;
        var solver = Chain.Uniform(8, new ChainStage(1, 1, 2, Unit, 3 * Unit)).Solve(slots: 1);
        Assert.That(solver.Curve.Select(point => ((double)point.Bytes / Unit, point.Time)), Is.EqualTo(Eight.Solve().Curve));
    }

    [Test]
    public void Curve_OfAShortChain_IsThatOfAllItsSchedules() => Holds(Chain.Random(longest: 5, largest: 5), 60, chain =>
        Assert.That(chain.Solve().Curve, Is.EqualTo(ChainSchedules.Front(chain))));

    [Test]
    public void Schedules_OfFourStages_AreAllFound()
    {
        string[] schedules = [.. ChainSchedules.Of(0, 3).Select(Describe)];
        Assert.That((schedules.Length, schedules.Distinct().Count()), Is.EqualTo((352, 352)), "s(n) = sum of g(k) s(n - k) + s(n - 1), g(n) = s(n) / 2");
    }

    [Test]
    public void Bytes_BeyondTheLargest_CountAsTheLargest()
    {
        var solver = Eight.Solve(largestBytes: 9);
        Assert.Multiple(() =>
        {
            Assert.That(solver.TimeFor(long.MaxValue), Is.EqualTo(32));
            Assert.That(new ChainSimulator(Eight).Run(solver.ScheduleFor(long.MaxValue)).PeakBytes, Is.EqualTo(9));
            Assert.That(solver.Curve, Is.EqualTo(new[] { (6L, 52.0), (7, 38), (8, 34), (9, 32) }));
        });
    }

    [Test]
    public void Chain_ThatDoesNotFit_IsRefusedWithTheBytesThatItNeeds()
    {
        var solver = Eight.Solve(largestBytes: 5);
        Assert.Multiple(() =>
        {
            Assert.That((solver.Curve.Count, solver.SmallestBytes), Is.EqualTo((0, 6)));
            Assert.That(
                () => solver.ScheduleFor(100),
                Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.StartsWith("The bytes are 5, expected at least 6: the chain fits no fewer"));
            Assert.That(() => Eight.Solve().ScheduleFor(-1), Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(Eight.Solve(largestBytes: 0).TimeFor(0), Is.EqualTo(double.PositiveInfinity));
        });
    }

    [TestCase(0, 27, 12)]
    [TestCase(5, 23, 17)]
    public void Output_ThatSparesARun_IsHeldUntilThen(double rerun, long peakBytes, double time)
    {
        // By hand: the input, stage 1's output of 10 where it is held, its gradient of 10, and stage 0 with 1 + 5 bytes; or, when stage 1
        // is run again, the inputs of both, the gradient and the tape of 11.
        var chain = new Chain([new(1, 1, 1, 1, 9, ForwardTemporaryBytes: 5), new(5, rerun, 1, 10, 11), new(1, 1, 1, 1, 1)], InputBytes: 1);
        ChainSegment[] schedule = [new(0, 1, [new(0, 0, [])])];
        Assert.That(new ChainSimulator(chain).Run(schedule), Is.EqualTo(new ChainRun(time, peakBytes, Forwards: 6)));
        Assert.That(chain.Solve().TimeFor(peakBytes), Is.LessThanOrEqualTo(time));
    }

    [Test]
    public void Arguments_ThatAreNoChain_AreRefused()
    {
        var stage = new ChainStage(1, 1, 1, 2, 2);
        Assert.Multiple(() =>
        {
            Assert.That(() => new ChainSolver([], 1, 1), Throws.ArgumentException.With.Message.StartsWith("The chain has no stages"));
            Assert.That(() => new ChainSolver([stage], -1, 1), Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(() => new ChainSolver([stage], 1, -1), Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(() => new ChainSolver([stage], 1, 1, slots: 0), Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(
                () => new ChainSolver([stage, stage with { BackwardTime = double.NaN }], 1, 1),
                Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.StartsWith("Stage 1 is "));
            Assert.That(() => new ChainSolver([stage with { ForwardTemporaryBytes = -1 }], 1, 1), Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(
                () => new ChainSolver([stage with { TapeBytes = 1 }], 1, 1),
                Throws.ArgumentException.With.Message.StartsWith("Stage 0 keeps 1 bytes, expected at least those of its output, 2"));
        });
    }

    private static void Holds(Arbitrary<Chain> chains, int times, Action<Chain> property) =>
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(times).WithReplay(Seed), Prop.ForAll(chains, property));

    /// <summary>
    /// Advances of a chain that can keep snapshots alone: a tape is larger than all of them, so that there is room for one. What is left
    /// of the time is the run of each step that comes right before its backward pass.
    /// </summary>
    private static double Advances(int steps, int snapshots, double rerun)
    {
        long tape = snapshots + 4;
        var chain = Chain.Uniform(steps, new ChainStage(1, rerun, 0, 1, tape));
        long bytes = snapshots + tape + (steps == 1 ? 1 : 2);
        var run = new ChainSimulator(chain).Run(chain.Solve(bytes).ScheduleFor(bytes));
        Assert.That((run.Time, run.PeakBytes <= bytes), Is.EqualTo((chain.Solve(bytes).TimeFor(bytes), true)));
        return run.Forwards - steps;
    }

    /// <summary>The least advances of Griewank and Walther, algorithm 799.</summary>
    private static long Revolve(int steps, int snapshots)
    {
        int repetitions = 0;
        while (Binomial(snapshots + repetitions, snapshots) < steps)
        {
            repetitions++;
        }

        return (long)repetitions * steps - Binomial(snapshots + repetitions, snapshots + 1);
    }

    private static long Binomial(int n, int k) => k > n ? 0 : Enumerable.Range(1, k).Aggregate(1L, (product, i) => product * (n - k + i) / i);

    private static string Describe(IReadOnlyList<ChainSegment> schedule) =>
        string.Join(' ', schedule.Select(segment => $"{segment.First}-{segment.Last}({Describe(segment.Inner)})"));

    /// <summary>The recurrence as the paper has it, without temporaries, remembered and nothing else.</summary>
    private sealed class Rotor(Chain chain)
    {
        private readonly Dictionary<(long, int, int), double> _times = [];

        public double Time(long bytes) => C(bytes - chain.InputBytes, 0, chain.Stages.Length - 1);

        private double C(long m, int i, int j)
        {
            if (!_times.TryGetValue((m, i, j), out double time))
            {
                _times[(m, i, j)] = time = m < Least(i, j) ? double.PositiveInfinity : i == j ? One(m, i) : Math.Min(Keep(m, i, j), Checkpoint(m, i, j));
            }

            return time;
        }

        private double One(long m, int i) => m >= X(i + 1) + chain.Stages[i].TapeBytes
            ? chain.Stages[i].ForwardTime + chain.Stages[i].BackwardTime
            : double.PositiveInfinity;

        private double Keep(long m, int i, int j) => One(m, i) + C(m - chain.Stages[i].TapeBytes, i + 1, j);

        private double Checkpoint(long m, int i, int j) => Enumerable.Range(i + 1, j - i)
            .Min(q => chain.Stages[i..q].Sum(stage => stage.ForwardTime) + C(m - X(q), q, j) + C(m, i, q - 1));

        private long Least(int i, int j) => i == j ? 0 : X(j + 1) + Enumerable.Range(i, j - i).Max(q => q == i ? X(i + 1) : X(q) + X(q + 1));

        private long X(int i) => i == 0 ? chain.InputBytes : chain.Stages[i - 1].OutputBytes;
    }
}
