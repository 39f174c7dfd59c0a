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

    /// <summary>A second of copying, while the ops behind take one forward and two backward.</summary>
    [Test]
    public void CopyToTheHost_HidesBehindOtherOps() => AssertStep(5, [], seconds: 0, activations: 4, [new(0, 2, 2)], copySeconds: 1, waited: 0);

    /// <summary>Begun at 2 it is waited for at 3, until 10. Begun again at 16 it is waited for at 20, until 24.</summary>
    [Test]
    public void CopyToTheHost_IsWaitedFor() => AssertStep(5, [], seconds: 0, activations: 4, [new(0, 2, 2)], copySeconds: 8, waited: 7 + 4);

    /// <summary>From 2 to 5, and to 8, waited for at 5; and back, the second one first, from 12 to 15 and to 18, waited for at 14 and at 17.</summary>
    [Test]
    public void Copies_AreMadeOneAfterTheOther() => AssertStep(
        5, [], seconds: 0, activations: 3, [new(0, 4, 2), new(1, 4, 2)], copySeconds: 3, waited: 3 + 1 + 1);

    /// <summary>What the region keeps is on the host, and comes back before its ops are run once more.</summary>
    [Test]
    public void Region_OfWhatIsOnTheHost_IsComputedOnceMore() => AssertStep(6, [new(1, 3, [])], seconds: 2, activations: 3, [new(0, 2, 5)], copySeconds: 1, waited: 0);

    /// <summary>Its second tensor is missing when the backward pass comes to it, and is made again from the one before the region.</summary>
    [Test]
    public void WhatIsKept_IsNeeded_WhenOpsAreComputedOnceMore()
    {
        var record = Record(5);
        Assert.That(
            TapeSimulator.KeptForBackward(record, new TapeSchedule(record, [new(1, 3, [])])),
            Is.EqualTo(new[] { (0, 2), (3, 3), (4, 4) }));
    }

    /// <param name="ops">Length of the chain.</param>
    /// <param name="regions">Ops from first to last, and regions inside.</param>
    /// <param name="seconds">Expected time of what is computed once more.</param>
    /// <param name="activations">Expected tensors that are left after the forward pass.</param>
    /// <param name="offloads">What is copied to the host; null for nothing.</param>
    /// <param name="copySeconds">Time of a copy.</param>
    /// <param name="waited">Expected time that copies are waited for.</param>
    private static void AssertStep(
        int ops, ScheduledRegion[] regions, double seconds, int activations, Offload[]? offloads = null, double copySeconds = 0, double waited = 0)
    {
        var record = Record(ops) with { CopySpeed = new CopySpeed(copySeconds, double.PositiveInfinity) };
        var step = TapeSimulator.Run(record, new TapeSchedule(record, regions).With(record, offloads ?? []));
        Assert.That((step.RecomputeSeconds, step.ActivationBytes, step.WaitSeconds), Is.EqualTo((seconds, activations * 64L, waited)));
    }

    private static TapeRecord Record(int ops)
    {
        var tensors = Enumerable.Range(0, ops).Select(i => new TapeTensor(16, 64, i, i) { LastUse = Math.Min(i + 1, ops - 1), Saves = 1, IsTransient = true }).ToArray();
        return new TapeRecord(
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
    }
}
