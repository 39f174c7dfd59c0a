// SPDX-License-Identifier: MIT
using System.CommandLine;
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Commands;

/// <summary>The options that every job has: where it runs, and on how many threads.</summary>
internal sealed class DeviceOptions
{
    private const int MaxThreads = 1024;
    private readonly Option<Device?> _device = Options.Value<Device?>(
        "--device", "Device to run on [default: cuda if there is one, else cpu]", "DEVICE", "cpu, cuda or cuda:N", TryParseDevice, null);

    private readonly Option<int?> _threads = Options.Whole(
        "--threads", "Threads of the CPU path [default: MEZZO_NUM_THREADS, else one per processor]", 1, MaxThreads);

    private readonly Option<bool> _allowTf32 = new("--allow-tf32") { Description = "Let a GPU round the operands of f32 products to TF32" };

    public void AddTo(Command command)
    {
        command.Add(_device);
        command.Add(_threads);
        command.Add(_allowTf32);
    }

    /// <summary>Sets the number of threads, TF32 and the limit of memory, and names the device.</summary>
    /// <exception cref="CommandException">This machine does not have the device.</exception>
    public Device Apply(ParseResult result)
    {
        if (result.GetValue(_threads) is { } threads)
        {
            Runtime.Threads = threads;
        }

        var device = result.GetValue(_device) ?? (WhyNoGpu() is null ? Device.Cuda() : Device.Cpu);
        if (!device.IsAvailable)
        {
            throw new CommandException($"--device: got {device}, {Missing(device)}");
        }

        Runtime.AllowTf32 = result.GetValue(_allowTf32);
        LimitToFreeMemory();
        return device;
    }

    /// <summary>One line on why a job that was given no device runs on the CPU; null when it does not.</summary>
    public string? WhyCpu(ParseResult result, Device device) =>
        result.GetValue(_device) is null && device.Type == DeviceType.Cpu ? $"device: cpu, as {WhyNoGpu()}" : null;

    /// <summary>
    /// Linux hands out more memory than there is, and kills the process that uses it. A limit turns that
    /// into an error that can be told.
    /// </summary>
    private static void LimitToFreeMemory()
    {
        GC.Collect();
        Device.Cpu.SetMemoryLimit(0);
        Device.Cpu.SetMemoryLimit(Math.Max(1, Device.Cpu.ReachableMemory));
    }

    private static string? WhyNoGpu()
    {
        if (!Device.Cuda().IsAvailable)
        {
            return Device.MissingReason(DeviceType.Cuda);
        }

        try
        {
            _ = Device.Cuda().Name; // which opens it
            return null;
        }
        catch (MezzoException exception)
        {
            return exception.Message;
        }
    }

    private static string Missing(Device device)
    {
        int count = Device.Count(device.Type);
        return count == 0
            ? $"expected cpu: {Device.MissingReason(device.Type)}"
            : $"expected an index below {count}, the number of such devices";
    }

    private static bool TryParseDevice(string text, out Device? device)
    {
        try
        {
            device = Device.Parse(text);
            return true;
        }
        catch (FormatException)
        {
            device = null;
            return false;
        }
    }
}
