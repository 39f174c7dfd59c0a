// SPDX-License-Identifier: MIT
using Mezzo.Cli.CommandLine;

namespace Mezzo.Cli.Tests.CommandLine;

public sealed class UsageErrorTests
{
    [TestCase("--epoch: unknown option, did you mean --epochs?", "train", "sincos", "--epoch", "5")]
    [TestCase("--precison: unknown option, did you mean --precision?", "train", "sincos", "--precison=bf16")]
    [TestCase("trian: unknown command, did you mean train?", "trian")]
    [TestCase("mezzo: no command given, expected train or plan or info")]
    [TestCase("train: no command given, expected sincos", "train")]
    [TestCase("sinco: unknown command, did you mean sincos?", "train", "sinco")]
    [TestCase("fast: unknown argument, sincos takes only options", "train", "sincos", "fast")]
    [TestCase("--epochs: got '0', expected a whole number from 1 to 10000000", "train", "sincos", "--epochs", "0")]
    [TestCase("--epochs: got '-3', expected a whole number from 1 to 10000000", "train", "sincos", "--epochs", "-3")]
    [TestCase("--samples: got 'many', expected a whole number from 1 to 100000000", "train", "sincos", "--samples", "many")]
    [TestCase("--hidden: got '99999999999', expected a whole number from 1 to 1000000", "train", "sincos", "--hidden", "99999999999")]
    [TestCase("--threads: got '0', expected a whole number from 1 to 1024", "train", "sincos", "--threads", "0")]
    [TestCase("--lr: got 'NaN', expected a number above 0", "train", "sincos", "--lr", "NaN")]
    [TestCase("--lr: got '0', expected a number above 0", "train", "sincos", "--lr", "0")]
    [TestCase("--seed: got '-1', expected a whole number from 0 to 18446744073709551615", "train", "sincos", "--seed", "-1")]
    [TestCase("--precision: got 'fp8', expected fp32, bf16, fp16 or compare", "train", "sincos", "--precision", "fp8")]
    [TestCase("--device: got 'tpu', expected cpu, cuda or cuda:N", "train", "sincos", "--device", "tpu")]
    [TestCase("--capture: got 'yes', expected auto, on or off", "train", "sincos", "--capture", "yes")]
    [TestCase("--loss-scale: got '3', expected 0 (dynamic) or a power of two from 2^-126 to 2^127 (static)", "train", "sincos", "--loss-scale", "3")]
    [TestCase("--loss-scale: got '-2', expected 0 (dynamic) or a power of two from 2^-126 to 2^127 (static)", "train", "sincos", "--loss-scale", "-2")]
    [TestCase("--json: got '', expected a file", "train", "sincos", "--json", "")]
    [TestCase("--epochs: given more than once, expected at most once", "train", "sincos", "--epochs", "5", "--epochs", "6")]
    [TestCase("--epochs: no value given, expected N", "train", "sincos", "--epochs")]
    [TestCase("--scaler: got 'keras', expected torch, apex-amp, apex-fp16-optimizer, apex-hysteresis, deepspeed or megatron", "train", "sincos", "--scaler", "keras")]
    [TestCase("--scaler: got --precision fp32, which has no loss scale, expected bf16, fp16 or compare", "train", "sincos", "--precision", "fp32", "--scaler", "torch")]
    [TestCase("--scaler: got a static --loss-scale too, expected --loss-scale 0 (dynamic) or none", "train", "sincos", "--scaler", "torch", "--loss-scale", "8")]
    [TestCase("--precision: got bf16 and fp16, expected one of --precision, --fp16 and --bf16", "train", "sincos", "--precision", "bf16", "--fp16")]
    [TestCase("--accumulate: got 9, expected at most the number of --samples, 8", "train", "sincos", "--samples", "8", "--accumulate", "9")]
    [TestCase("--layers: got '0', expected a whole number from 1 to 1000", "train", "sincos", "--layers", "0")]
    [TestCase("--checkpoint: got 'all', expected none, segments=N with N from 1, budget=SIZE such as budget=64MB or budget=64MiB, or auto", "train", "sincos", "--checkpoint", "all")]
    [TestCase("--checkpoint: got 'segments=0', expected none, segments=N with N from 1, budget=SIZE such as budget=64MB or budget=64MiB, or auto", "train", "sincos", "--checkpoint", "segments=0")]
    [TestCase("--checkpoint: got 'budget=lots', expected none, segments=N with N from 1, budget=SIZE such as budget=64MB or budget=64MiB, or auto", "train", "sincos", "--checkpoint", "budget=lots")]
    [TestCase("plan: no command given, expected sincos", "plan")]
    [TestCase("--budget: got '64M', expected a size such as 64MB (10^6 bytes), 1.5GB or 64MiB (2^20 bytes)", "plan", "sincos", "--budget", "64M")]
    [TestCase("--precision: got 'compare', expected fp32, bf16 or fp16", "plan", "sincos", "--precision", "compare")]
    [TestCase("--warmup: got no --schedule, expected one whose learning rate it is to warm up", "train", "sincos", "--warmup", "0.1")]
    [TestCase("--warmup: got '1', expected a number from 0 up to but not 1", "train", "sincos", "--schedule", "linear", "--warmup", "1")]
    [TestCase("--max-grad-norm: got '0', expected a number above 0", "train", "sincos", "--max-grad-norm", "0")]
    [TestCase("--weight-decay: got '-1', expected a number of at least 0", "train", "sincos", "--weight-decay", "-1")]
    [TestCase("--optimizer: got 'lion', expected adam, adamw, fused-adam, legacy-fused-adam, bert-adam, hf-adamw, lamb or sgd", "train", "sincos", "--optimizer", "lion")]
    [TestCase("--loss-scale: got --precision fp32, which has no loss scale, expected bf16, fp16 or compare", "train", "sincos", "--precision", "fp32", "--loss-scale", "8")]
    public void BadCommandLine_IsRefusedInOneSentence(string sentence, params string[] args)
    {
        var outcome = CommandRunner.Run(args);

        Assert.Multiple(() =>
        {
            Assert.That(outcome.ExitCode, Is.EqualTo(ExitCode.Usage));
            Assert.That(outcome.ErrorLines, Is.EqualTo(new[] { sentence }));
            Assert.That(outcome.Output, Is.Empty);
        });
    }

    [Test]
    public void UnknownOption_NothingLikeAnother_ListsTheOptions()
    {
        var outcome = CommandRunner.Run("train", "sincos", "--zzzzzzzz");

        Assert.That(outcome.Error, Does.StartWith("--zzzzzzzz: unknown option, expected one of --accumulate, --allow-tf32, --bf16, --capture, --checkpoint, --device,"));
    }

    [Test]
    public void AbsentDevice_IsRefusedWithTheReason()
    {
        int count = Device.Count(DeviceType.Cuda);
        string expected = count == 0 ? $"cpu: {Device.MissingReason(DeviceType.Cuda)}" : $"an index below {count}, the number of such devices";

        var outcome = CommandRunner.Run("train", "sincos", "--device", "cuda:99");

        Assert.Multiple(() =>
        {
            Assert.That(outcome.ExitCode, Is.EqualTo(ExitCode.Usage));
            Assert.That(outcome.ErrorLines, Is.EqualTo(new[] { $"--device: got cuda:99, expected {expected}" }));
        });
    }

    [Test]
    public void Help_ListsEveryOption()
    {
        var outcome = CommandRunner.Run("train", "sincos", "--help");

        Assert.Multiple(() =>
        {
            Assert.That(outcome.ExitCode, Is.Zero);
            foreach (string option in new[]
                { "--precision", "--epochs", "--samples", "--hidden", "--layers", "--checkpoint", "--lr", "--seed", "--device", "--threads", "--capture", "--loss-scale", "--scaler", "--out", "--json", "--quiet" })
            {
                Assert.That(outcome.Output, Does.Contain(option));
            }
        });
    }

    [TestCase("epochs", "epochs", 0)]
    [TestCase("epoch", "epochs", 1)]
    [TestCase("epcohs", "epochs", 1)]
    [TestCase("", "lr", 2)]
    [TestCase("kitten", "sitting", 3)]
    public void Distance_CountsEdits(string from, string to, int edits) =>
        Assert.That(Suggestion.Distance(from, to), Is.EqualTo(edits));
}
