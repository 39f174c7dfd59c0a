// SPDX-License-Identifier: MIT
using System.Text.Json;
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Tests.Commands;

/// <summary><c>mezzo train sincos --checkpoint</c>.</summary>
public sealed class CheckpointTests
{
    private static readonly string[] Deep =
        ["train", "sincos", "--samples", "512", "--epochs", "4", "--hidden", "32", "--layers", "8", "--capture", "off", "--device", TestDevice.Name];

    private TemporaryFolder _folder = null!;

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void DeleteFolder() => _folder.Dispose();

    [TestCase("segments=1")]
    [TestCase("segments=3")]
    [TestCase("budget=700KB", "--precision", "fp32")]
    [TestCase("budget=1GB")]
    [TestCase("auto")]
    [TestCase("segments=3", "--accumulate", "3")]
    [TestCase("segments=4", "--capture", "on")]
    [TestCase("segments=2", "--fp16", "--opt-level", "O2")]
    public void Losses_AreThoseOfARunThatKeepsAll_BitForBit(string checkpoint, params string[] options)
    {
        string[] others = options.Contains("--capture") ? [.. Deep.Where((_, i) => i is not (10 or 11)), .. options] : [.. Deep, .. options];
        var expected = Train(others);
        var runs = Train([.. others, "--checkpoint", checkpoint]);
        Assert.That(runs, Has.Length.EqualTo(expected.Length));
        foreach (string figure in new[] { "losses", "grad_norms", "scales" })
        {
            Assert.That(runs.Select(run => run.GetProperty(figure).GetRawText()), Is.EqualTo(expected.Select(run => run.GetProperty(figure).GetRawText())));
        }
    }

    [Test]
    public void Json_HasWhatIsPredicted_AndThePeakIsSo()
    {
        foreach (var run in Train([.. Deep, "--checkpoint", "segments=3"]))
        {
            long predicted = run.GetProperty("predicted_peak_bytes").GetInt64();
            Assert.That(run.GetProperty("peak_bytes").GetInt64(), Is.EqualTo(predicted).Within(2).Percent);
            Assert.That(run.GetProperty("activation_bytes").GetInt64(), Is.Positive.And.LessThan(predicted));
            Assert.That(run.GetProperty("recompute_seconds").GetDouble(), Is.Positive);
        }
    }

    [Test]
    [Category("CpuOnly")]
    public void Json_OfARunThatKeepsAll_HasNoPredictions([Values("none", "auto")] string checkpoint)
    {
        foreach (var run in Train([.. Deep, "--checkpoint", checkpoint]))
        {
            var kinds = new[] { "activation_bytes", "predicted_peak_bytes", "recompute_seconds" }.Select(name => run.GetProperty(name).ValueKind);
            Assert.That(kinds, Is.All.EqualTo(JsonValueKind.Null));
        }
    }

    [Test]
    public void Peak_IsWithinTheBudget_AndBelowThatOfARunThatKeepsAll()
    {
        string[] options = [.. Deep, "--precision", "fp32"];
        long keepsAll = Train(options)[0].GetProperty("peak_bytes").GetInt64();
        long budget = keepsAll * 3 / 4;
        var run = Train([.. options, "--checkpoint", $"budget={budget}"])[0];
        Assert.That(run.GetProperty("predicted_peak_bytes").GetInt64(), Is.LessThanOrEqualTo(budget));
        Assert.That(run.GetProperty("peak_bytes").GetInt64(), Is.EqualTo(budget).Within(30).Percent.And.LessThan(keepsAll * 0.8));
    }

    [Test]
    [Category("CpuOnly")]
    public void Peak_OfMicroBatches_IsWithinTheirBudget([Values("fp32", "bf16")] string precision)
    {
        string[] options = [.. Deep, "--precision", precision, "--accumulate", "2"];
        long budget = Train(options)[0].GetProperty("peak_bytes").GetInt64() * 9 / 10;
        var run = Train([.. options, "--checkpoint", $"budget={budget}"])[0];
        Assert.That(run.GetProperty("peak_bytes").GetInt64(), Is.LessThanOrEqualTo(budget));
    }

    [Test]
    [Category("CpuOnly")]
    public void TableAndReport_TellOfThePlan()
    {
        var outcome = CommandRunner.Run([.. Deep, "--checkpoint", "segments=3", "--out", _folder.Path]);
        string report = File.ReadAllText(_folder.File("report.html"));
        foreach (string expected in new[] { "checkpointing", "segments=3", "predicted peak", "activations kept", "extra time of a step" })
        {
            Assert.That(outcome.Output, Does.Contain(expected));
            Assert.That(report, Does.Contain(expected));
        }

        Assert.That(CommandRunner.Run([.. Deep, "--out", _folder.Path]).Output, Does.Not.Contain("checkpointing").And.Not.Contain("predicted"));
    }

    [Category("CpuOnly")]
    [TestCase("budget=1KB", @"--checkpoint: got budget=1KB, expected at least budget=([\d.]+[KMG]B), the least that a step in fp32 can do with")]
    [TestCase("segments=50", @"--checkpoint: got segments=50, expected segments=1 to segments=(\d+), one more than the places that a step in fp32 is cut at")]
    public void ChoiceThatCannotBe_IsRefused_NamingOneThatCan(string checkpoint, string pattern)
    {
        var outcome = CommandRunner.Run([.. Deep, "--checkpoint", checkpoint, "--out", _folder.Path]);
        Assert.That(outcome.ExitCode, Is.EqualTo(ExitCode.Usage));
        Assert.That(outcome.ErrorLines, Has.Length.EqualTo(1));
        Assert.That(outcome.Error, Does.Match($"^{pattern}\n$"));

        string possible = System.Text.RegularExpressions.Regex.Match(outcome.Error, pattern).Groups[1].Value;
        string option = checkpoint.Split('=')[0];
        Train([.. Deep, "--precision", "fp32", "--checkpoint", $"{option}={possible}"]);
        if (option == "segments")
        {
            string one = $"segments={int.Parse(possible, System.Globalization.CultureInfo.InvariantCulture) + 1}";
            Assert.That(CommandRunner.Run([.. Deep, "--checkpoint", one, "--out", _folder.Path]).Error, Does.StartWith($"--checkpoint: got {one}, expected"));
        }
    }

    [Test]
    [Category("CpuOnly")]
    public void ResumedWithAnotherChoice_HasTheLossesOfAnUninterruptedRun()
    {
        string[] options = [.. Deep, "--fp16"];
        string expected = Train(options)[0].GetProperty("losses").GetRawText();
        string saved = _folder.File("run");
        string[] half = [.. options.Select((value, i) => options[Math.Max(0, i - 1)] == "--epochs" ? "2" : value)];
        Train([.. half, "--checkpoint", "segments=2", "--save", saved]);
        Assert.That(Train([.. options, "--checkpoint", "segments=4", "--resume", saved])[0].GetProperty("losses").GetRawText(), Is.EqualTo(expected));
    }

    [Test]
    [Category("CpuOnly")]
    public void Layers_AreThree_UnlessToldOtherwise()
    {
        string[] plain = [.. Deep.Where((_, i) => i is not (8 or 9))];
        string Losses(params string[] layers) => Train([.. plain, .. layers])[0].GetProperty("losses").GetRawText();
        Assert.That(Losses("--layers", "3"), Is.EqualTo(Losses()));
        Assert.That(Losses("--layers", "1"), Is.Not.EqualTo(Losses()));
    }

    private JsonElement[] Train(string[] args)
    {
        string json = _folder.File("result.json");
        File.Delete(json);
        var outcome = CommandRunner.Run([.. args, "--out", _folder.Path, "--json", json]);
        Assert.That(outcome.ExitCode, Is.EqualTo(ExitCode.Success), outcome.Error);
        return [.. JsonDocument.Parse(File.ReadAllText(json)).RootElement.GetProperty("runs").EnumerateArray()];
    }
}
