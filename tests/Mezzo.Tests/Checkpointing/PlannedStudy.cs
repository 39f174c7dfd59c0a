// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Checkpointing;

/// <summary>Networks to plan for.</summary>
internal enum PlannedNet
{
    /// <summary>Linear layers with ReLU.</summary>
    Chain,

    /// <summary>Layer norm, GELU and dropout, which are cheap, around linear layers, in residual blocks.</summary>
    Residual,

    /// <summary>Two heads on a trunk with batch norm, written by hand.</summary>
    TwoHeads,

    /// <summary>Ops on views of one tensor.</summary>
    Views,

    /// <summary>Residual blocks that end with a ReLU, whose output nobody but the ReLU itself keeps.</summary>
    Rectified,
}

/// <summary>One of the networks, its data and a trainer.</summary>
internal sealed class PlannedStudy : IDisposable
{
    private const int Rows = 128;
    private const int Width = 24;
    private readonly Model _model;
    private readonly Adam _optimizer;
    private readonly Tensor _x;
    private readonly Tensor _y;

    public PlannedStudy(PlannedNet net, Precision precision, CaptureMode mode = CaptureMode.Off, int repeats = 1, int retries = 0)
    {
        RandomSource.SetDefaultSeed(11);
        _model = new Model(net, repeats);
        _optimizer = new Adam(_model.Parameters(), lr: 0.01);
        Trainer = new Trainer(_optimizer, new TrainerOptions
        {
            Precision = precision,
            Capture = mode,
            LogEvery = 0,
            RetriesOnOverflow = retries,
            Scaler = precision == Precision.Float16 ? new GradScaler(initScale: Math.Pow(2, 20), growthInterval: 3) : null,
        });
        _x = Support.Gradients.IrregularTensor(1, Rows, Width).To(DType.Float32);
        _y = Support.Gradients.IrregularTensor(2, Rows, Width).To(DType.Float32);
    }

    public Trainer Trainer { get; }

    public Module<Tensor, Tensor> Net => _model;

    /// <summary>An input.</summary>
    public Tensor Sample => _x;

    public Tensor Loss() => Losses.Mse(_model.Forward(_x).To(DType.Float32), _y);

    /// <summary>Takes a step under a plan. Its ops must be those that were measured, and its bytes those that were predicted.</summary>
    public void AssertPeakOf(CheckpointPlan plan) => AssertPeakOf(plan, Loss);

    /// <inheritdoc cref="AssertPeakOf(CheckpointPlan)"/>
    public void AssertPeakOf(CheckpointPlan plan, Func<Tensor> loss)
    {
        var device = TestDevice.Current;
        Trainer.CheckpointPlan = plan;
        device.ResetPeakMemory();
        Trainer.Step(loss);
        Assert.That(plan.Difference, Is.Null);
        Assert.That(device.Memory.PeakBytes, Is.EqualTo(plan.PredictedPeakBytes), $"{plan}");
    }

    /// <summary>A hash of each parameter and buffer.</summary>
    public string State() => string.Join(
        '\n', _model.Parameters().Select(parameter => Text(parameter)).Concat(_model.Buffers().Select(buffer => Text(buffer))));

    public string Gradients() => string.Join('\n', _model.Parameters().Select(parameter => parameter.Grad is { } gradient ? Text(gradient) : "none"));

    public void ClearGradients()
    {
        foreach (var parameter in _model.Parameters())
        {
            parameter.ClearGrad();
        }
    }

    public void Dispose()
    {
        Trainer.Dispose();
        _optimizer.Dispose();
        _model.Dispose();
    }

    private static string Text(Tensor tensor)
    {
        using var scope = TensorScope.Begin();
        using var noGrad = NoGrad.Enter();
        var bytes = System.Runtime.InteropServices.MemoryMarshal.AsBytes(tensor.To(DType.Float64).ToArray<double>().AsSpan());
        return Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(bytes));
    }

    private sealed class Model : Module<Tensor, Tensor>
    {
        private readonly Func<Tensor, Tensor> _forward;

        public Model(PlannedNet net, int repeats) => _forward = net switch
        {
            PlannedNet.Chain => Chain(8 * repeats),
            PlannedNet.Residual => Residual(3 * repeats),
            PlannedNet.TwoHeads => TwoHeads(),
            PlannedNet.Views => Views(),
            _ => Rectified(3 * repeats),
        };

        public override Tensor Forward(Tensor input) => _forward(input);

        private Func<Tensor, Tensor> Chain(int layers) => Part("chain", new Sequential(
            [.. Enumerable.Range(0, layers).SelectMany(_ => new Module<Tensor, Tensor>[] { new Linear(Width, Width), new ReLU() }), new Linear(Width, Width)])).Forward;

        private Func<Tensor, Tensor> Residual(int blocks)
        {
            Func<Tensor, Tensor> forward = x => x;
            for (int i = 0; i < blocks; i++)
            {
                var before = forward;
                var branch = Part($"branch{i}", new Sequential(
                    new LayerNorm([Width]), new Linear(Width, 2 * Width), new GELU(), new Dropout(0.2), new Linear(2 * Width, Width)));
                forward = x =>
                {
                    var trunk = before(x);
                    return trunk + branch.Forward(trunk);
                };
            }

            return forward;
        }

        private Func<Tensor, Tensor> TwoHeads()
        {
            var trunk = Part("trunk", new Sequential(
                new Linear(Width, Width), new ReLU(), new BatchNorm1d(Width), new Linear(Width, Width), new Tanh(), new Linear(Width, Width), new ReLU()));
            var (left, right) = (Part("left", new Sequential(new Linear(Width, Width), new SiLU(), new Linear(Width, Width))), Part("right", new Linear(Width, Width)));
            return x =>
            {
                var features = trunk.Forward(x);
                return left.Forward(features).Softmax().To(DType.Float32) + right.Forward(features).Sigmoid().To(DType.Float32);
            };
        }

        private Func<Tensor, Tensor> Views()
        {
            var (first, second, third) = (Part("first", new Linear(Width, Width)), Part("second", new Linear(Width, Width)), Part("third", new Linear(Width, Width)));
            return x =>
            {
                var h = first.Forward(x).Tanh();
                var halves = Tensor.Concat([h.Slice(0, Rows / 2).Gelu(), h.Slice(Rows / 2, Rows / 2).Sigmoid()]);
                var narrow = second.Forward(halves).Reshape(Rows * 2, Width / 2).Tanh().Reshape(Rows, Width);
                return third.Forward(narrow * 0.5).Gelu();
            };
        }

        private Func<Tensor, Tensor> Rectified(int blocks)
        {
            Func<Tensor, Tensor> forward = x => x;
            for (int i = 0; i < blocks; i++)
            {
                var before = forward;
                var fused = Part($"fused{i}", new Sequential(new Linear(Width, Width), new ReLU()));
                var plain = Part($"plain{i}", new Linear(Width, Width));
                forward = x =>
                {
                    var trunk = before(x);
                    trunk += fused.Forward(trunk);
                    return trunk + plain.Forward(trunk).Relu();
                };
            }

            return forward;
        }

        private T Part<T>(string name, T module)
            where T : Module => Register(name, module);
    }
}
