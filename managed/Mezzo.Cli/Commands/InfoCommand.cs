// SPDX-License-Identifier: MIT
using System.CommandLine;
using Mezzo.Cli.Jobs;
using Mezzo.Cli.Report;
using Mezzo.Cli.Terminal;

namespace Mezzo.Cli.Commands;

/// <summary><c>mezzo info</c>: what the program runs on, and why something is missing.</summary>
internal static class InfoCommand
{
    public static Command Create(TerminalOutput terminal)
    {
        var command = new Command("info", "Tells the version, the devices and the native library in use.");
        command.SetAction(_ => Print(terminal.Output));
        return command;
    }

    private static void Print(TextWriter output)
    {
        Fact[] facts =
        [
            new("version", Runtime.Version),
            new("native library", Runtime.NativeLibraryPath),
            .. Enum.GetValues<DeviceType>().SelectMany(Devices),
            new("instruction sets", Runtime.InstructionSets),
            new("oneDNN", JobEnvironment.DescribeOneDnn()),
            new("threads", Format.Count(Runtime.Threads)),
        ];
        int width = facts.Max(fact => fact.Label.Length);
        foreach (var fact in facts)
        {
            output.WriteLine($"{fact.Label.PadRight(width)}   {fact.Value}");
        }
    }

    /// <summary>The devices of a kind, or one line saying why there is none.</summary>
    private static IEnumerable<Fact> Devices(DeviceType type)
    {
        int count = Device.Count(type);
        if (count == 0)
        {
            return [new Fact(type == DeviceType.Cpu ? "cpu" : "cuda", $"none: {Device.MissingReason(type)}")];
        }

        return Enumerable.Range(0, count)
            .Select(index => new Device(type, index))
            .Select(device => new Fact($"{device}", Describe(device)));
    }

    private static string Describe(Device device)
    {
        try
        {
            return $"{device.Name}, fast 16-bit type {device.FastHalf.ShortName()}";
        }
        catch (MezzoException exception)
        {
            return exception.Message;
        }
    }
}
