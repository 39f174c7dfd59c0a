// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Support;

/// <summary>
/// The device under test: what the environment variable MEZZO_TEST_DEVICE names, else the CPU. Tests that are about
/// the CPU alone have the category <see cref="CpuOnly"/>, which runs on another device filter out.
/// </summary>
internal static class TestDevice
{
    public const string CpuOnly = "CpuOnly";

    public static Device Current { get; } = Device.Parse(Environment.GetEnvironmentVariable("MEZZO_TEST_DEVICE") ?? "cpu");

    /// <summary>Whether the device is simulated and too slow for sizes at which a real one just begins to work.</summary>
    public static bool IsSimulated { get; } = Current.Name.StartsWith("Simulated", StringComparison.Ordinal);
}
