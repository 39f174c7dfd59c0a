// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>What one stage of a chain costs. Each stage takes the output of the one before it.</summary>
/// <param name="ForwardTime">Seconds to make the output from the input, f.</param>
/// <param name="RecomputeTime">
/// Seconds to make from the input what the backward pass needs where the output is still held, r; 0 where it needs no more than input and
/// output.
/// </param>
/// <param name="BackwardTime">Seconds of the backward pass, b.</param>
/// <param name="OutputBytes">Bytes of the output, x, and of its gradient.</param>
/// <param name="TapeBytes">Bytes that the stage keeps for its backward pass where it is not run again, its output included, t.</param>
/// <param name="ForwardTemporaryBytes">Bytes that are live only while it runs, in addition to input and output (or tape).</param>
/// <param name="BackwardTemporaryBytes">Bytes that are live only during its backward pass, in addition to input, tape and the output's gradient.</param>
internal readonly record struct ChainStage(
    double ForwardTime,
    double RecomputeTime,
    double BackwardTime,
    long OutputBytes,
    long TapeBytes,
    long ForwardTemporaryBytes = 0,
    long BackwardTemporaryBytes = 0)
{
    /// <summary>
    /// Whether a segment that ends with this stage holds its output until the stage has been run again. Where that saves no time, the
    /// output is freed as soon as the next stage's backward pass is over.
    /// </summary>
    public bool HoldsOutput => RecomputeTime < ForwardTime;

    /// <summary>The stage with sizes in slots, rounded up.</summary>
    /// <param name="slotBytes">Bytes of a slot.</param>
    public ChainStage InSlots(long slotBytes) => this with
    {
        OutputBytes = Slots(OutputBytes, slotBytes),
        TapeBytes = Slots(TapeBytes, slotBytes),
        ForwardTemporaryBytes = Slots(ForwardTemporaryBytes, slotBytes),
        BackwardTemporaryBytes = Slots(BackwardTemporaryBytes, slotBytes),
    };

    /// <summary>The slots that a size takes.</summary>
    /// <param name="bytes">The size.</param>
    /// <param name="slotBytes">Bytes of a slot.</param>
    public static long Slots(long bytes, long slotBytes) => bytes / slotBytes + (bytes % slotBytes == 0 ? 0 : 1);
}
