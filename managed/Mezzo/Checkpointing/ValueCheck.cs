// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo.Checkpointing;

/// <summary>
/// Compares what a region drops with what it makes in its place, by a checksum of 64 bits, see <see cref="Checkpoint.CheckValuesEvery"/>.
/// </summary>
internal sealed class ValueCheck
{
    private static long _regions;
    private readonly Dictionary<Tensor, long> _checksums = [];

    private ValueCheck()
    {
    }

    /// <summary>A check for a region that begins; null where it is not to be checked.</summary>
    public static ValueCheck? IfDue()
    {
        return Checkpoint.CheckValuesEvery > 0 && !Graph.IsCapturing && IsDue(TrainingStep.Current?.Random.StepNumber ?? Interlocked.Increment(ref _regions)) ? new() : null;
    }

    /// <summary>Whether the step of a number is to be checked.</summary>
    public static bool IsDue(long step) => Checkpoint.CheckValuesEvery is > 0 and var every && step % every == 0;

    /// <summary>Notes the elements of a tensor that is about to be dropped, the first time.</summary>
    public void Note(Tensor tensor)
    {
        if (!Graph.IsCapturing && !_checksums.ContainsKey(tensor))
        {
            _checksums.Add(tensor, Checksum(tensor));
        }
    }

    /// <summary>Compares the elements of a tensor that has been made once more.</summary>
    /// <param name="tensor">The tensor.</param>
    /// <param name="operation">Name of the op that made it.</param>
    /// <exception cref="InvalidOperationException">They differ.</exception>
    public void Compare(Tensor tensor, string operation)
    {
        if (!Graph.IsCapturing && !tensor.IsDropped && _checksums.TryGetValue(tensor, out long expected) && Checksum(tensor) != expected)
        {
            throw new InvalidOperationException(
                $"Recomputing {operation} gave another {tensor.Description} than its forward pass: the op is not deterministic, or something it reads has changed unnoticed.");
        }
    }

    private static long Checksum(Tensor tensor)
    {
        using var checksum = Tensor.AllocateOwned([], DType.Int64, tensor.Device);
        Calls.Checksum(checksum.Handle, tensor.Handle);
        return checksum.ToArray<long>()[0];
    }
}
