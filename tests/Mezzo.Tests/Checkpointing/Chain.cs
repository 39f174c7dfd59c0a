// SPDX-License-Identifier: MIT
using FsCheck;
using FsCheck.Fluent;
using Mezzo.Checkpointing;

namespace Mezzo.Tests.Checkpointing;

/// <summary>A chain of stages and the bytes of its input.</summary>
internal sealed record Chain(ChainStage[] Stages, long InputBytes)
{
    /// <summary>Bytes that it takes with everything kept.</summary>
    public long KeepAllBytes => new ChainSimulator(this).Run([]).PeakBytes;

    /// <summary>The time that it then takes.</summary>
    public double KeepAllTime => Stages.Sum(stage => stage.ForwardTime + stage.BackwardTime);

    /// <summary>A solver up to these bytes, or those that it takes with everything kept.</summary>
    public ChainSolver Solve(long? largestBytes = null, int slots = 500) => new(Stages, InputBytes, largestBytes ?? KeepAllBytes, slots);

    /// <summary>Stages that are all alike, and an input like their outputs.</summary>
    public static Chain Uniform(int length, ChainStage stage) => new([.. Enumerable.Repeat(stage, length)], stage.OutputBytes);

    /// <summary>Chains with times that are whole numbers, so that sums are exact.</summary>
    /// <param name="longest">Most stages.</param>
    /// <param name="largest">Bound of the sizes; a tape adds the output to it.</param>
    /// <param name="rotor">Whether a stage that is run again takes all its forward time, and nothing has temporaries: rotor's problem.</param>
    public static Arbitrary<Chain> Random(int longest, int largest, bool rotor = false)
    {
        var sizes = Gen.Choose(0, largest).Select(size => (long)size);
        var stages =
            from forward in Gen.Choose(0, 9)
            from again in Gen.Choose(0, forward)
            from backward in Gen.Choose(0, 9)
            from output in sizes
            from tape in sizes
            from temporary in sizes
            from backwardTemporary in sizes
            select rotor
                ? new ChainStage(forward, forward, backward, output, output + tape)
                : new ChainStage(forward, again, backward, output, output + tape, temporary, backwardTemporary);
        var chains =
            from length in Gen.Choose(1, longest)
            from chain in stages.ArrayOf(length)
            from input in sizes
            select new Chain(chain, input);
        return Arb.From(chains, Shorter);
    }

    /// <inheritdoc/>
    public override string ToString() => $"input {InputBytes}: {string.Join(", ", Stages)}";

    private static IEnumerable<Chain> Shorter(Chain chain) => chain.Stages.Length == 1
        ? []
        : chain.Stages.Select((_, i) => chain with { Stages = [.. chain.Stages[..i], .. chain.Stages[(i + 1)..]] });
}
