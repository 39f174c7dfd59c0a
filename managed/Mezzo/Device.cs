// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Runtime.CompilerServices;
using Mezzo.Native;

namespace Mezzo;

/// <summary>Kind of a device.</summary>
public enum DeviceType
{
    /// <summary>The host processor.</summary>
    Cpu = 0,

    /// <summary>An NVIDIA GPU.</summary>
    Cuda = 1,
}

/// <summary>Memory of one device, in bytes of tensors rounded up to multiples of 64.</summary>
/// <param name="CurrentBytes">Bytes of live tensors and of scratch memory in use now.</param>
/// <param name="PeakBytes">
/// Largest sum of <paramref name="CurrentBytes"/> and <paramref name="GraphBytes"/> since the last
/// <see cref="Device.ResetPeakMemory"/>.
/// </param>
/// <param name="CachedBytes">Bytes freed by tensors and kept for the next ones.</param>
/// <param name="GraphBytes">Bytes that graphs keep for their launches, besides the current ones.</param>
/// <param name="LiveTensors">Number of tensors not yet freed, views included.</param>
public readonly record struct MemoryStats(long CurrentBytes, long PeakBytes, long CachedBytes, long GraphBytes, long LiveTensors);

/// <summary>A device that holds tensors and runs ops. The default value is the CPU.</summary>
/// <param name="Type">Kind of the device.</param>
/// <param name="Index">Ordinal among the devices of that kind, from 0.</param>
public readonly record struct Device(DeviceType Type, int Index)
{
    private static StrongBox<Device> _default = new(Cpu);

    /// <summary>The host processor.</summary>
    public static Device Cpu => default;

    /// <summary>
    /// Where tensors, parameters and scalers are made whose maker names no device: the CPU, until another is set
    /// here, for the whole process.
    /// </summary>
    /// <exception cref="MezzoException">Set to a device that does not exist; the default stays as it was.</exception>
    public static Device Default
    {
        get => Volatile.Read(ref _default).Value;
        set
        {
            Calls.DeviceName(value.Id);
            Volatile.Write(ref _default, new StrongBox<Device>(value));
        }
    }

    /// <summary>Whether this machine has the device.</summary>
    public bool IsAvailable => Index >= 0 && Index < Count(Type);

    /// <summary>The device's name, such as the processor's model.</summary>
    /// <exception cref="MezzoException">The device does not exist, or cannot be opened.</exception>
    public string Name => Calls.DeviceName(Id);

    /// <summary>The 16-bit type in which the device multiplies matrices fastest.</summary>
    /// <exception cref="MezzoException">The device does not exist.</exception>
    public DType FastHalf => (DType)Calls.DeviceFastDType(Id);

    /// <summary>The device's memory statistics.</summary>
    /// <exception cref="MezzoException">The device does not exist.</exception>
    public MemoryStats Memory
    {
        get
        {
            var stats = Calls.MemoryStatsGet(Id);
            return new MemoryStats(stats.CurrentBytes, stats.PeakBytes, stats.CachedBytes, stats.GraphBytes, stats.LiveTensors);
        }
    }

    /// <summary>
    /// Bytes that further tensors could take, as far as is known: what the system would give, what is cached, and no more than the limit
    /// leaves. Other programs take from the same memory.
    /// </summary>
    /// <exception cref="MezzoException">The device does not exist.</exception>
    public long AvailableMemory => Calls.MemoryAvailable(Id);

    /// <summary>Bytes that tensors and graphs have, and those that they could still take: the most that a plan's budget may be now.</summary>
    /// <exception cref="MezzoException">The device does not exist.</exception>
    public long ReachableMemory
    {
        get
        {
            var memory = Memory;
            return memory.CurrentBytes + memory.GraphBytes + AvailableMemory;
        }
    }

    internal MezzoDevice Id => new() { Type = (MezzoDeviceType)Type, Index = Index };

    /// <summary>The NVIDIA GPU with the given ordinal.</summary>
    public static Device Cuda(int index = 0) => new(DeviceType.Cuda, index);

    /// <summary>Number of devices of a kind that can be used, as far as that shows without opening them.</summary>
    public static int Count(DeviceType type) => Calls.DeviceCount((MezzoDeviceType)type);

    /// <summary>One sentence saying why there is no device of a kind; empty when there is one.</summary>
    public static string MissingReason(DeviceType type) => Calls.DeviceMissingReason((MezzoDeviceType)type);

    /// <summary>Reads "cpu", "cuda" (the first GPU) or "cuda:1".</summary>
    /// <exception cref="FormatException">The text is none of these.</exception>
    public static Device Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string[] parts = text.Split(':');
        int index = 0;
        bool wellFormed = parts.Length == 1
            || (parts.Length == 2 && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out index));
        return (wellFormed, parts[0]) switch
        {
            (true, "cpu") when index == 0 => Cpu,
            (true, "cuda") => Cuda(index),
            _ => throw new FormatException($"'{text}' is not a device; expected cpu, cuda or cuda:N."),
        };
    }

    /// <summary>Sets <see cref="MemoryStats.PeakBytes"/> to what is in use now.</summary>
    public void ResetPeakMemory() => Calls.MemoryPeakReset(Id);

    /// <summary>Limits the sum of <see cref="MemoryStats.CurrentBytes"/> and <see cref="MemoryStats.GraphBytes"/>; 0 lifts the limit.</summary>
    public void SetMemoryLimit(long bytes) => Calls.MemoryLimitSet(Id, bytes);

    /// <summary>Gives memory that is cached for coming tensors back to the system.</summary>
    public void TrimMemory() => Calls.MemoryTrim(Id);

    /// <summary>Waits until all work issued to the device has finished.</summary>
    public void Synchronize() => Calls.DeviceSynchronize(Id);

    /// <inheritdoc/>
    public override string ToString() =>
        Type == DeviceType.Cpu ? "cpu" : string.Create(CultureInfo.InvariantCulture, $"cuda:{Index}");
}
