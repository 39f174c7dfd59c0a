// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Mezzo.Cli.Report;

namespace Mezzo.Cli.Jobs;

/// <summary>What a report must say for a reader to repeat the job.</summary>
/// <param name="Command">The command line.</param>
/// <param name="Version">Version of the library.</param>
/// <param name="DeviceName">The device's model.</param>
/// <param name="InstructionSets">Instruction sets of the CPU path.</param>
/// <param name="OneDnn">Version of oneDNN, or that it is not built in.</param>
/// <param name="System">Operating system and .NET.</param>
/// <param name="Time">When the job began.</param>
internal sealed record JobEnvironment(
    string Command, string Version, string DeviceName, string InstructionSets, string OneDnn, string System, DateTimeOffset Time)
{
    public static JobEnvironment Capture(string command, Device device) => new(
        command,
        Runtime.Version,
        device.Name,
        Runtime.InstructionSets,
        DescribeOneDnn(),
        $"{RuntimeInformation.OSDescription.Trim()}, {RuntimeInformation.FrameworkDescription}",
        TimeProvider.System.GetUtcNow());

    public static string DescribeOneDnn() => Runtime.OneDnnVersion is { Length: > 0 } version ? version : "not built in: slower";

    public IEnumerable<Fact> Facts() =>
    [
        new Fact("mezzo", Version),
        new Fact("device", DeviceName),
        new Fact("instruction sets", InstructionSets),
        new Fact("oneDNN", OneDnn),
        new Fact("system", System),
        new Fact("date", FormattableString.Invariant($"{Time:yyyy-MM-dd HH:mm} UTC")),
    ];
}
