// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>The time of a step on a device that computes and copies side by side, one copy after the other.</summary>
internal sealed class SimulatedClock(CopySpeed? speed)
{
    private double _copiesEnd;

    /// <summary>Seconds since the step began.</summary>
    public double Now { get; private set; }

    /// <summary>Seconds of them in which the device waited for copies.</summary>
    public double Waited { get; private set; }

    /// <summary>Computes for so long.</summary>
    public void Work(double seconds) => Now += seconds;

    /// <summary>Begins to copy.</summary>
    /// <returns>When that will have ended.</returns>
    public double Copy(long bytes) => _copiesEnd = Math.Max(_copiesEnd, Now) + speed!.SecondsFor(bytes);

    /// <summary>Waits until a time.</summary>
    public void WaitUntil(double end)
    {
        double wait = Math.Max(0, end - Now);
        Waited += wait;
        Now += wait;
    }
}
