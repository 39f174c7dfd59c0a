// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Mezzo.CheckpointBench;

/// <summary>By how many bytes the process grows at most: Linux's own count, to check the library's against.</summary>
internal static class Resident
{
    /// <summary>Most resident bytes while something runs, above those before it.</summary>
    public static long Growth(Action action)
    {
        // What freed tensors have left would be used again unseen.
        Device.Cpu.TrimMemory();
        File.WriteAllText("/proc/self/clear_refs", "5"); // the peak is now what is resident
        long before = Status("VmRSS");
        action();
        return Status("VmHWM") - before;
    }

    private static long Status(string name)
    {
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith($"{name}:", StringComparison.Ordinal));
        return 1024 * long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }
}
