// SPDX-License-Identifier: MIT
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
            Assert.That(outcome.Output, Does.Contain($"fast 16-bit type {Device.Cpu.FastHalf.ShortName()}"));
            Assert.That(outcome.Output, Does.Contain(Runtime.OneDnnVersion.Length > 0 ? Runtime.OneDnnVersion : "not built in"));
            Assert.That(outcome.Output, Does.Contain(Device.MissingReason(DeviceType.Cuda)));
        });
    }
}
