// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;

namespace Mezzo.Cli.Tests.Commands;

public sealed class InfoCommandTests
{
    [Test]
    public void Info_TellsWhatTheProgramRunsOn()
    {
        var outcome = CommandRunner.Run("info");

        Assert.Multiple(() =>
        {
            Assert.That(outcome.ExitCode, Is.Zero);
            Assert.That(outcome.Output, Does.Contain(Runtime.Version));
            Assert.That(outcome.Output, Does.Contain(Runtime.NativeLibraryPath));
            Assert.That(outcome.Output, Does.Contain(Runtime.InstructionSets));
            Assert.That(outcome.Output, Does.Match($@"{TestDevice.Name} +{Regex.Escape(TestDevice.Current.Name)}, fast 16-bit type {TestDevice.Current.FastHalf.ShortName()}"));
            Assert.That(outcome.Output, Does.Contain(Runtime.OneDnnVersion.Length > 0 ? Runtime.OneDnnVersion : "not built in"));
            Assert.That(outcome.Output, Does.Match(
                Device.Count(DeviceType.Cuda) > 0 ? "cuda:0 +.*, fast 16-bit type f16" : $"cuda +none: {Regex.Escape(Device.MissingReason(DeviceType.Cuda))}"));
        });
    }
}
