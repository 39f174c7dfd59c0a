// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Tests;

/// <summary>The device under test: what the environment variable MEZZO_TEST_DEVICE names, else the CPU.</summary>
internal static class TestDevice
{
    public static string Name { get; } = Environment.GetEnvironmentVariable("MEZZO_TEST_DEVICE") ?? "cpu";

    public static Device Current { get; } = Device.Parse(Name);
}
