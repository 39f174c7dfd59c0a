// SPDX-License-Identifier: MIT
using System.Diagnostics;
using Mezzo.Native;

namespace Mezzo.Checkpointing;

/// <summary>How long it takes to copy between a device and host memory.</summary>
/// <param name="Latency">Seconds of any copy.</param>
/// <param name="BytesPerSecond">Of a large one.</param>
internal sealed record CopySpeed(double Latency, double BytesPerSecond)
{
    private const int Runs = 3;
    private const long SmallBytes = 4096;
    private const long LargeBytes = 16 << 20;

    /// <summary>Measures a device; null where its memory is the host's, so that nothing is gained, or has no room for it.</summary>
    public static CopySpeed? Measure(Device device)
    {
        long largeBytes = device.Type == DeviceType.Cpu ? 0 : Math.Min(LargeBytes, device.AvailableMemory / 3); // there, back, and some
        if (largeBytes < 2 * SmallBytes)
        {
            return null;
        }

        try
        {
            double latency = Seconds(device, SmallBytes);
            return new CopySpeed(latency, largeBytes / Math.Max(Seconds(device, largeBytes) - latency, 1e-9));
        }
        catch (MezzoException exception) when (exception.Status == MezzoStatus.OutOfMemory)
        {
            return null; // of the host, which cannot pin so much
        }
    }

    /// <summary>Seconds for so many bytes, one way.</summary>
    public double SecondsFor(long bytes) => Latency + (bytes / BytesPerSecond);

    /// <summary>The slower way of the two, as pinned memory in use makes it.</summary>
    private static double Seconds(Device device, long bytes)
    {
        using var tensor = Tensor.AllocateOwned([bytes], DType.UInt8, device);
        tensor.Fill(0);
        double fastest = double.PositiveInfinity;
        for (int run = 0; run <= Runs; run++)
        {
            device.Synchronize();
            long start = Stopwatch.GetTimestamp();
            using var copy = new HostCopy(tensor);
            copy.Wait();
            device.Synchronize();
            double there = Stopwatch.GetElapsedTime(start).TotalSeconds;
            start = Stopwatch.GetTimestamp();
            copy.Restore().FreeNow();
            device.Synchronize();
            double slower = Math.Max(there, Stopwatch.GetElapsedTime(start).TotalSeconds);
            fastest = run == 0 ? fastest : Math.Min(fastest, slower); // the first allocates
        }

        return fastest;
    }
}
