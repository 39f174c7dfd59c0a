// SPDX-License-Identifier: MIT
using System.Globalization;
using Mezzo.Autograd;
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// A seed and a count of draws. Every draw of random numbers takes the next stream, so a program that
/// makes the same draws in the same order gets the same numbers, on every device and thread count. Nothing can
/// be drawn while a <see cref="Graph"/> is captured, whose launches would repeat the same numbers; but for dropout in the
/// steps of a <see cref="Trainer"/>, see <see cref="Tensor.Dropout"/>.
/// </summary>
/// <param name="seed">Names the experiment.</param>
public sealed class RandomSource(ulong seed) : IResumable
{
    private static RandomSource _default = new(0);
    private long _streams;

    /// <summary>The source of whoever names none; it starts at seed 0.</summary>
    public static RandomSource Default => Volatile.Read(ref _default);

    /// <summary>The seed.</summary>
    public ulong Seed { get; private set; } = seed;

    /// <summary>Number of streams that draws have taken.</summary>
    internal long StreamsTaken => Interlocked.Read(ref _streams);

    /// <summary>Replaces <see cref="Default"/> by a fresh source, as <c>torch.manual_seed</c> does.</summary>
    public static void SetDefaultSeed(ulong seed) => Volatile.Write(ref _default, new RandomSource(seed));

    /// <inheritdoc/>
    void IResumable.Save(SavedPart part)
    {
        part.Write("seed", Seed.ToString(CultureInfo.InvariantCulture));
        part.Write("streams", StreamsTaken);
    }

    /// <inheritdoc/>
    Action IResumable.Load(SavedPart part)
    {
        string text = part.ReadString("seed");
        if (!ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong seed))
        {
            throw part.Refuse("seed", $"is '{text}', expected a whole number from 0 to 2^64 - 1");
        }

        long streams = part.ReadInt64("streams", least: 0);
        return () =>
        {
            Seed = seed;
            Interlocked.Exchange(ref _streams, streams);
        };
    }

    /// <summary>Takes the next stream, which a trial leaves to whoever comes next.</summary>
    /// <exception cref="MezzoException">This thread is capturing a graph.</exception>
    internal MezzoRandomDesc Next() => Graph.IsCapturing
        ? throw new MezzoException(
            MezzoStatus.CaptureInvalid, "random numbers cannot be drawn while a graph is captured: a captured step would repeat the same numbers")
        : new()
        {
            Seed = Seed,
            Stream = TapeObserver.IsInTrial ? (ulong)StreamsTaken : TakeStream(),
        };

    /// <summary>Takes the next stream for draws that say themselves how they differ from launch to launch.</summary>
    internal ulong TakeStream() => (ulong)(Interlocked.Increment(ref _streams) - 1);
}
