// SPDX-License-Identifier: MIT
using System.Globalization;
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Tests;

/// <summary>What only a process of its own can show: signals, a full disk, and a native library that does not load.</summary>
public sealed class ProcessTests
{
    private static readonly string[] Study = ["train", "sincos", "--samples", "64", "--hidden", "8", "--device", TestDevice.Name];

    [TestCase("/nowhere/libmezzo.so")]
    [TestCase("/dev/null")]
    public async Task NativeLibraryThatDoesNotLoad_IsOneSentenceNamingIt(string library)
    {
        using var process = CommandProcess.Start(library, ["info"]);

        var (_, error) = await process.Finish();

        Assert.Multiple(() =>
        {
            Assert.That(process.ExitCode, Is.EqualTo(ExitCode.Failure));
            Assert.That(error.Trim().Split('\n'), Has.Length.EqualTo(1));
            Assert.That(error, Does.Contain(library).And.Not.Contain("   at "));
        });
    }

    [Test]
    [Platform("Linux,MacOsX")]
    public async Task Interrupt_EndsCleanlyWithWhatWasMeasured()
    {
        using var folder = new TemporaryFolder();
        using var process = CommandProcess.StartInterruptible([.. Study, "--epochs", "10000000", "--out", folder.Path, "--save", folder.File("run")]);
        await process.WaitFor("epoch");

        process.Interrupt();
        var (rest, error) = await process.Finish();

        Assert.Multiple(() =>
        {
            Assert.That(process.ExitCode, Is.EqualTo(ExitCode.Interrupted), error);
            Assert.That(rest, Does.Contain("Interrupted:").And.Contain("smallest loss").And.Contain($"saved: {folder.File("run")}"));
            Assert.That(folder.File("report.html"), Does.Exist);
            Assert.That(TrainingState.Exists(folder.File("run", "fp32")));
        });
    }

    [Test]
    [Category("CpuOnly")]
    public async Task KilledAtAnyTime_AndResumed_HasTheLossesOfAnUninterruptedRun()
    {
        using var folder = new TemporaryFolder();
        string run = folder.File("run");
        string[] args = [.. Study, "--precision", "fp16", "--loss-scale", "0", "--seed", "5", "--out", folder.Path];
        var random = new Random();
        for (int kill = 0; kill < 3; kill++)
        {
            bool resumes = TrainingState.Exists(Path.Combine(run, "fp16"));
            using var process = CommandProcess.Start([.. args, "--epochs", "10000000", "--save-every", "1", resumes ? "--resume" : "--save", run]);
            for (int before = Done(), polls = 0; Done() == before && polls < 10_000; polls++)
            {
                await Task.Delay(2);
            }

            await Task.Delay(random.Next(40));
            process.Kill();
            await process.Finish();
        }

        int done = Done();
        Assert.That(done, Is.GreaterThan(2), "each has saved");
        string[] length = ["--epochs", $"{done + 3}"];
        string[] losses = [.. new[] { new[] { "--resume", run }, [] }.Select(resume =>
        {
            var outcome = CommandRunner.Run([.. args, .. length, .. resume, "--json", folder.File("result.json")]);
            Assert.That(outcome.ExitCode, Is.EqualTo(ExitCode.Success), outcome.Error);
            string json = File.ReadAllText(folder.File("result.json"));
            return json[json.IndexOf("\"losses\"", StringComparison.Ordinal)..json.IndexOf("\"peak_bytes\"", StringComparison.Ordinal)];
        })];
        Assert.That(losses[0], Is.EqualTo(losses[1]));
        Assert.That(Directory.GetDirectories(Path.Combine(run, "fp16")), Has.Length.EqualTo(2), "what was left by those that were killed is gone");

        // The name of a state ends in the number of its epochs.
        int Done() => !TrainingState.Exists(Path.Combine(run, "fp16"))
            ? 0
            : Directory.GetDirectories(Path.Combine(run, "fp16"), "*-step-*").Max(state => int.Parse(state[^8..], CultureInfo.InvariantCulture));
    }

    [Test]
    [Platform("Linux")]
    public async Task FullDisk_IsOneSentence_AndTheStateBeforeIsKept()
    {
        using var folder = new TemporaryFolder();
        string run = folder.File("run");
        Directory.CreateDirectory(run);

        // A file system of 400 KiB that this process alone sees has room for one state, and not for two.
        const string Script = "mount -t tmpfs -o size=400k none \"$2\" || exit 77; \"$0\" \"$1\" train sincos --precision fp32 --samples 64 --hidden 64 --epochs 9 "
            + "--save \"$2\" --save-every 3 --out \"$3\" --device \"$4\"; code=$?; ls -A \"$2\"/fp32; exit $code";
        using var process = CommandProcess.Script(["unshare", "--user", "--map-root-user", "--mount"], Script, run, folder.Path, TestDevice.Name);

        var (output, error) = await process.Finish();

        if (process.ExitCode is 77 || error.Contains("unshare", StringComparison.Ordinal))
        {
            Assert.Ignore($"A file system cannot be mounted here: {error}");
        }

        Assert.Multiple(() =>
        {
            Assert.That(process.ExitCode, Is.EqualTo(ExitCode.Failure));
            Assert.That(error.Trim().Split('\n'), Has.Length.EqualTo(1));
            Assert.That(error, Does.StartWith($"--save: cannot write {run}: ").And.Match("space|full"));
            Assert.That(output.TrimEnd(), Does.EndWith("0001-step-00000003"));
        });
    }
}
