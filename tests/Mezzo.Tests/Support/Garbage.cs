// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Support;

/// <summary>
/// Tensors that earlier code has dropped without disposing of them. Finalizers free them on a thread of their own at any time,
/// so a test that reads a device's memory twice collects them before the first reading.
/// </summary>
internal static class Garbage
{
    /// <summary>Frees them.</summary>
    public static void Collect()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    /// <summary>Live bytes of a device, when they are freed.</summary>
    public static long SettledBytes(this Device device)
    {
        Collect();
        return device.Memory.CurrentBytes;
    }
}
