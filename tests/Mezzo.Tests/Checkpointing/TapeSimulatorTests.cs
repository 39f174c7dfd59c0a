// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;

namespace Mezzo.Tests.Checkpointing;

/// <summary><see cref="TapeSimulator"/> on a chain by hand: ops that save their output of 64 bytes and take a second forward, two backward.</summary>
internal sealed class TapeSimulatorTests
{
    [Test]
    public void Nothing_IsComputedOnceMore_WhereAllIsKept() => AssertStep(5, [], seconds: 0, activations: 5);

    [Test]
    public void Region_IsComputedUpToWhatItKeeps() => AssertStep(5, [new(0, 2, [])], seconds: 2, activations: 3);

    [Test]
    public void InnerRegion_IsComputedWithTheOuterOne_AndAgain() => AssertStep(5, [new(0, 3, [new(0, 1, [])])], seconds: 3 + 1, activations: 2);

    [Test]
    public void TwoRegions_AreComputedOneByOne() => AssertStep(6, [new(0, 1, []), new(2, 4, [])], seconds: 1 + 2, activations: 3);

    /// <param name="ops">Length of the chain.</param>
    /// <param name="regions">Ops from first to last, and regions inside.</param>
    /// <param name="seconds">Expected time of what is computed once more.</param>
    /// <param name="activations">Expected tensors that are left after the forward pass.</param>
    private static void AssertStep(int ops, ScheduledRegion[] regions, double seconds, int activations)
    {
        var tensors = Enumerable.Range(0, ops).Select(i => new TapeTensor(16, 64, i, i) { LastUse = Math.Min(i + 1, ops - 1), Saves = 1, IsTransient = true }).ToArray();
        var record = new TapeRecord(
            [
                .. Enumerable.Range(0, ops).Select(i => new TapeOp("op", "layer", IsCheap: false, i == 0 ? [] : [i - 1], [i], [i])
                {
                    ForwardSeconds = 1,
                    BackwardSeconds = 2,
                    ForwardPeak = 64,
                }),
            ],
            tensors,
            ops,
            BytesBefore: 1000,
            IsWhole: true);
        var step = TapeSimulator.Run(record, new TapeSchedule(record, regions));
        Assert.That((step.RecomputeSeconds, step.ActivationBytes), Is.EqualTo((seconds, activations * 64L)));
    }
}
