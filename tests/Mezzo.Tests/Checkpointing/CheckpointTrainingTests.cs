// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Checkpointing;

/// <summary>Training with checkpointing against training without: losses, gradients, parameters and buffers, bit for bit.</summary>
internal sealed class CheckpointTrainingTests : TensorFixture
{
    private const int Steps = 6;

    [Test]
    public void Training_IsBitIdentical(
        [Values("(abcdef)", "(a)(b)(c)(d)(e)(f)", "ab(cd)ef", "(a(b(c(d(e(f))))))", "a(b((cd)e))f")] string form,
        [Values] Precision precision,
        [Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode) =>
        Assert.That(Train(form, precision, mode), Is.EqualTo(Train(CheckpointedNet.Plain, precision, mode)));

    [Test]
    public void Training_InMicroBatches_IsBitIdentical([Values] Precision precision, [Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode) =>
        Assert.That(Train("(ab(cd))(ef)", precision, mode, microBatches: 2), Is.EqualTo(Train(CheckpointedNet.Plain, precision, mode, microBatches: 2)));

    /// <summary>Steps that are tried again keep the graph, and recompute for each try.</summary>
    [Test]
    public void Training_WithRetries_IsBitIdentical([Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode)
    {
        string[] runs = Array.ConvertAll(["(ab(cd))(ef)", CheckpointedNet.Plain], form => Train(form, Precision.Float16, mode, retries: 30));
        Assert.That(runs[0], Is.EqualTo(runs[1]));
        Assert.That(runs[0], Does.Contain("retries"));
    }

    [Test]
    public void Training_OfA16BitModel_IsBitIdentical([Values(DType.Float16, DType.BFloat16)] DType dtype)
    {
        string Run(string form)
        {
            RandomSource.SetDefaultSeed(5);
            using var net = new CheckpointedNet(form);
            using var amp = Mezzo.Amp.Initialize(net, OptLevelOptions.O2 with { HalfType = dtype });
            using var adam = new Adam(amp.Parameters());
            using var trainer = new Trainer(adam, new TrainerOptions { Scaler = amp.Scaler, LogEvery = 0 });
            var (x, y) = Data();
            return string.Join('\n', Enumerable.Range(0, Steps).Select(_ => trainer.Step(() => Losses.Mse(amp.Forward(x), y)).Loss)) + State(net);
        }

        Assert.That(Run("(ab(cd))(ef)"), Is.EqualTo(Run(CheckpointedNet.Plain)));
    }

    /// <summary>PyTorch's reentrant checkpointing gives the first layer no gradient where the data need none.</summary>
    [Test]
    public void FirstLayer_IsTrained_ThoughTheInputNeedsNoGradient()
    {
        var layer = new Linear(3, 2);
        var input = Gradients.IrregularTensor(1, 5, 3).To(DType.Float32);
        Tensor Forward(Tensor x) => layer.ForwardRelu(x).Tanh().Tanh();
        Checkpoint.Run(Forward, input).Sum().Backward();
        string bits = Bits(layer.Weight.Grad!);
        layer.Weight.ClearGrad();
        Forward(input).Sum().Backward();
        Assert.That(bits, Is.EqualTo(Bits(layer.Weight.Grad!)));
        Assert.That(Values(layer.Weight.Grad!), Has.Some.Not.Zero);
    }

    [Test]
    public void Modes_ThatAreSetBeforeTheBackwardPass_ChangeNothing()
    {
        string Run(string form)
        {
            RandomSource.SetDefaultSeed(5);
            using var net = new CheckpointedNet(form);
            var (x, y) = Data();
            Tensor loss;
            using (Autocast.Enable(DType.BFloat16))
            {
                loss = Losses.Mse(net.Forward(x), y);
            }

            net.Eval();
            using (Autocast.Enable(DType.Float16))
            {
                loss.Backward();
            }

            return string.Join('\n', net.Parameters().Select(parameter => Bits(parameter.Grad!))) + State(net);
        }

        Assert.That(Run("(ab(cd))(ef)"), Is.EqualTo(Run(CheckpointedNet.Plain)));
    }

    private static string Train(string form, Precision precision, CaptureMode mode, int microBatches = 1, int retries = 0)
    {
        RandomSource.SetDefaultSeed(5);
        using var net = new CheckpointedNet(form);
        using var adam = new Adam(net.Parameters(), lr: 0.01);
        using var trainer = new Trainer(adam, new TrainerOptions
        {
            Precision = precision,
            Capture = mode,
            MicroBatches = microBatches,
            RetriesOnOverflow = retries,
            LogEvery = 0,
            Scaler = precision == Precision.Float16 ? new GradScaler(initScale: Math.Pow(2, 24), growthInterval: 3) : null,
        });
        var batch = Enumerable.Repeat(Data(), microBatches).ToArray();
        var text = new List<string>();
        for (int step = 0; step < Steps; step++)
        {
            var result = trainer.Step((Tensor x, Tensor y) => Losses.Mse(net.Forward(x), y), batch);
            text.Add($"{BitConverter.DoubleToInt64Bits(result.Loss):x} {result.Outcome}{(result.Retries > 0 ? $", {result.Retries} retries" : "")}");
            text.AddRange(net.Parameters().Select(parameter => parameter.Grad is { } gradient ? Bits(gradient) : "none"));
        }

        return string.Join('\n', text) + State(net);
    }

    private static (Tensor X, Tensor Y) Data() => (Gradients.IrregularTensor(1, 6, 3).To(DType.Float32), Gradients.IrregularTensor(2, 6, 2).To(DType.Float32));

    private static string State(Module net) => string.Join(
        '\n', net.Parameters().Select(parameter => Bits(parameter.To(DType.Float64))).Concat(net.Buffers().Select(buffer => Bits(buffer.To(DType.Float64)))));
}
