// SPDX-License-Identifier: MIT
using System.Text.Json;
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Tests.Commands;

/// <summary><c>mezzo train sincos</c> with --save, --save-every and --resume.</summary>
public sealed class SavingTests
{
    private static readonly string[] Tiny = ["train", "sincos", "--samples", "64", "--hidden", "8", "--device", TestDevice.Name];
    private TemporaryFolder _folder = null!;

    private string Run => _folder.File("run");

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void DeleteFolder() => _folder.Dispose();

    [TestCase("--precision", "fp32")]
    [TestCase("--precision", "fp32", "--capture", "on")]
    [TestCase("--fp16", "--capture", "on", "--optimizer", "lamb", "--schedule", "one-cycle")]
    [TestCase("--bf16", "--scaler", "megatron", "--schedule", "linear", "--warmup", "0.2")]
    [TestCase("--fp16", "--accumulate", "3", "--optimizer", "sgd", "--max-grad-norm", "0.5")]
    [TestCase("--precision", "compare")]
    public void InterruptedAndResumed_HasTheResultOfAnUninterruptedRun(params string[] options)
    {
        var whole = Train(out string expected, options);
        Assert.That(whole.ExitCode, Is.EqualTo(ExitCode.Success), whole.Error);

        string[] saving = [.. options, "--save-every", "7"];
        using var cancellation = new CancellationTokenSource();
        using var output = new CancellingWriter(options.Contains("compare") ? "6  epoch 20 " : "epoch 20 ", cancellation);
        var interrupted = Train(out string half, [.. saving, "--save", Run], output, cancellation.Token);
        Assert.That(interrupted.ExitCode, Is.EqualTo(ExitCode.Interrupted), interrupted.Error);
        Assert.That(interrupted.Output, Does.Contain($"saved: {Run}, to go on from with --resume"));
        Assert.That(half, Is.Not.EqualTo(expected));

        var resumed = Train(out string result, [.. saving, "--resume", Run]);
        Assert.That(resumed.ExitCode, Is.EqualTo(ExitCode.Success), resumed.Error);
        Assert.That(resumed.Output, Does.Contain("resumed after 2"));
        Assert.That(result, Is.EqualTo(expected));

        var again = Train(out string same, [.. options, "--resume", Run]);
        Assert.That(again.ExitCode, Is.EqualTo(ExitCode.Success), again.Error);
        Assert.That(same, Is.EqualTo(expected), "a run that is over has its result");
    }

    [Test]
    public void RunThatIsOver_GoesOnForLonger()
    {
        Train(out _, "--bf16", "--save", Run);
        var longer = Train(out string result, "--bf16", "--resume", Run, "--epochs", "30");
        Assert.That(longer.ExitCode, Is.EqualTo(ExitCode.Success), longer.Error);
        Train(out string expected, "--bf16", "--epochs", "30");
        Assert.That(result, Is.EqualTo(expected));
    }

    [Test]
    public void SavedElsewhere_LeavesTheFirstFolderAsItIs()
    {
        Train(out _, "--bf16", "--save", Run);
        string[] before = States(Run);
        Train(out _, "--bf16", "--resume", Run, "--save", _folder.File("other"), "--epochs", "30");
        Assert.That(States(Run), Is.EqualTo(before));
        Assert.That(States(_folder.File("other")), Is.EqualTo(new[] { "bf16/0001-step-00000030" }));
    }

    [TestCase("--hidden: got 9, expected 8, with which the run in RUN was saved", "--hidden", "9")]
    [TestCase("--layers: got 2, expected 3", "--layers", "2")]
    [TestCase("--samples: got 63, expected 64", "--samples", "63")]
    [TestCase("--optimizer: got sgd, expected adam", "--optimizer", "sgd")]
    [TestCase("--lr: got 0.5, expected 0.01", "--lr", "0.5")]
    [TestCase("--seed: got 7, expected 0", "--seed", "7")]
    [TestCase("--weight-decay: got 0.25, expected none", "--weight-decay", "0.25")]
    [TestCase("--max-grad-norm: got 1, expected none", "--max-grad-norm", "1")]
    [TestCase("--accumulate: got 2, expected 1", "--accumulate", "2")]
    [TestCase("--schedule: got linear, expected none", "--schedule", "linear")]
    [TestCase("--loss-scale: got 8, expected none", "--loss-scale", "8")]
    [TestCase("--scaler: got deepspeed, expected none", "--scaler", "deepspeed")]
    [TestCase("--epochs: got 3, expected at least the 4 that the run in RUN/bf16 has done", "--epochs", "3")]
    [TestCase("--resume: RUN holds a run in bf16, expected one in fp16: --precision is another one", "--precision", "fp16")]
    public void OptionsOfAnotherRun_AreRefused_NamingThem(string message, params string[] options)
    {
        Train(out _, "--precision", "bf16", "--epochs", "4", "--save", Run);
        string[] before = States(Run);
        string[] precision = options.Contains("--precision") ? [] : ["--precision", "bf16"];
        string[] epochs = options.Contains("--epochs") ? [] : ["--epochs", "5"];
        var outcome = Train(out _, [.. precision, .. epochs, .. options, "--resume", Run]);
        Assert.Multiple(() =>
        {
            Assert.That(outcome.ExitCode, Is.EqualTo(ExitCode.Usage));
            Assert.That(outcome.ErrorLines, Has.Length.EqualTo(1));
            Assert.That(outcome.Error, Does.StartWith(message.Replace("RUN", Run, StringComparison.Ordinal)));
            Assert.That(States(Run), Is.EqualTo(before));
        });
    }

    [Test]
    public void FolderInUse_OrWithoutAState_IsRefused()
    {
        Train(out _, "--precision", "bf16", "--epochs", "4", "--save", Run);
        File.WriteAllText(_folder.File("file"), "");
        Assert.Multiple(() =>
        {
            Assert.That(Error("--bf16", "--save", Run), Is.EqualTo($"--save: {Run} holds saved states already, expected another folder, or --resume {Run} to go on from them"));
            Assert.That(Error("--bf16", "--resume", _folder.File("none")), Is.EqualTo($"--resume: {_folder.File("none")} holds no saved state, expected the folder of an earlier --save"));
            Assert.That(Error("--bf16", "--resume", _folder.File("file")), Is.EqualTo($"--resume: {_folder.File("file")} holds no saved state, expected the folder of an earlier --save"));
            Assert.That(Error("--bf16", "--save-every", "3"), Is.EqualTo("--save-every: got no --save, expected the folder to save in"));
        });

        string Error(params string[] options) => Train(out _, options).Error.TrimEnd();
    }

    [Test]
    public void StateThatIsCorrupt_IsPassedOver_AndTheLastOneIsAnError()
    {
        Train(out string expected, "--bf16", "--save", Run, "--save-every", "20");
        string[] states = [.. States(Run).Select(state => Path.Combine(Run, state))];
        Assert.That(states, Has.Length.EqualTo(2));
        File.AppendAllText(Path.Combine(states[1], "training.json"), " ");
        var resumed = Train(out string result, "--bf16", "--resume", Run);
        Assert.That(resumed.Output, Does.Contain("resumed after 20 epochs"));
        Assert.That(resumed.ErrorLines.Single(), Does.Contain($"{states[1]}/training.json: has not the SHA-256 sum"));
        Assert.That(result, Is.EqualTo(expected));

        foreach (string state in States(Run))
        {
            File.Delete(Path.Combine(Run, state, "weights.safetensors"));
        }

        var failed = Train(out _, "--bf16", "--resume", Run);
        Assert.That(failed.ExitCode, Is.EqualTo(ExitCode.Failure));
        Assert.That(failed.ErrorLines[^1], Does.EndWith("weights.safetensors: is missing"));
    }

    private static string[] States(string folder) => Directory.Exists(folder)
        ? [.. Directory.GetDirectories(folder).SelectMany(Directory.GetDirectories).Select(state => Path.GetRelativePath(folder, state)).Order(StringComparer.Ordinal)]
        : [];

    private CommandOutcome Train(out string result, params string[] options)
    {
        using var output = new StringWriter { NewLine = "\n" };
        return Train(out result, options, output, CancellationToken.None);
    }

    /// <summary>Trains for 26 epochs unless told otherwise.</summary>
    /// <returns>The outcome, and what the JSON says of losses, scales and the rest that no clock or memory is in.</returns>
    private CommandOutcome Train(out string result, string[] options, StringWriter output, CancellationToken cancellationToken)
    {
        string json = _folder.File("result.json");
        File.Delete(json);
        string[] Missing(string option, string value) => options.Contains(option) ? [] : [option, value];
        var outcome = CommandRunner.Run(
            [.. Tiny.Where((_, i) => !(options.Contains("--hidden") && i is 4 or 5) && !(options.Contains("--samples") && i is 2 or 3)), .. options, .. Missing("--epochs", "26"), "--out", _folder.Path, "--json", json],
            output,
            cancellationToken);
        result = !File.Exists(json) ? "" : string.Concat(
            from run in JsonDocument.Parse(File.ReadAllText(json)).RootElement.GetProperty("runs").EnumerateArray()
            from property in run.EnumerateObject()
            where property.Name is not ("seconds" or "peak_bytes" or "captured")
            select property.ToString());
        return outcome;
    }
}
