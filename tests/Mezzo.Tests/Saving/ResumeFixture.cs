// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Saving;

/// <summary>Trains a small model without a break, and with one: in a new trainer that resumes what another has saved.</summary>
internal abstract class ResumeFixture : TensorFixture
{
    protected TemporaryFolder Folder { get; private set; } = null!;

    [SetUp]
    public void CreateFolder() => Folder = new TemporaryFolder();

    [TearDown]
    public void DeleteFolder() => Folder.Dispose();

    /// <summary>All that a run leaves behind, bit by bit.</summary>
    protected sealed record Outcome(
        IReadOnlyList<StepResult> Steps, string[] Parameters, string[] States, GradScalerState Scaler, long StepCount, double NextLearningRate, double Random, (long Epoch, int Batch) Data);

    /// <summary>A program that trains, as it is begun anew each time.</summary>
    /// <param name="optimizer">Makes the optimizer.</param>
    /// <param name="options">Makes the trainer's options.</param>
    protected sealed class Program(Func<Module, Optimizer> optimizer, Func<BatchOrder, Module, TrainerOptions> options) : IDisposable
    {
        private const int Samples = 40;
        private Trainer _trainer = null!;
        private Tensor _x = null!;

        public Sequential Model { get; private set; } = null!;

        public Optimizer Optimizer { get; private set; } = null!;

        public BatchOrder Order { get; private set; } = null!;

        public Trainer Trainer => _trainer;

        public Program Start()
        {
            RandomSource.SetDefaultSeed(3);
            Order = new BatchOrder(Samples, batchSize: 8, seed: 5);
            Model = new Sequential(new Linear(1, 8), new ReLU(), new Linear(8, 1));
            Optimizer = optimizer(Model);
            _trainer = new Trainer(Optimizer, options(Order, Model));
            _x = Tensor.Uniform([Samples, 1], -1, 1, random: new RandomSource(1));
            return this;
        }

        /// <summary>Trains until so many batches have been taken in all.</summary>
        public IReadOnlyList<StepResult> Train(int batches, CancellationToken cancellationToken = default, IProgress<StepResult>? progress = null)
        {
            int left = batches - (int)(Order.Epoch * Order.BatchesPerEpoch + Order.Batch);
            return _trainer.Run(Loss, Order.Batches(1000).Take(left).Select(At), progress, cancellationToken).Steps;
        }

        public Outcome Outcome(IEnumerable<StepResult> steps) => new(
            [.. steps],
            [.. Model.Parameters().Select(Bits)],
            [.. StatesOf(Optimizer)],
            _trainer.Scaler.StateDict(),
            Optimizer.StepCount,
            Optimizer.Groups[^1].NextLearningRate,
            Tensor.Uniform([1]).Item(),
            (Order.Epoch, Order.Batch));

        public void Dispose()
        {
            _trainer.Dispose();
            Optimizer.Dispose();
            Model.Dispose();
        }

        private static IEnumerable<string> StatesOf(Optimizer optimizer)
        {
            var part = new SavedPart("optimizer", optimizer.Parameters.ToDictionary(parameter => parameter, parameter => parameter.Name));
            ((IResumable)optimizer).Save(part);
            return part.Tensors.Select(pair => $"{pair.Key} {Bits(pair.Value)}");
        }

        private (Tensor, Tensor) At(int[] samples)
        {
            float[] all = _x.ToArray<float>();
            float[] x = Array.ConvertAll(samples, sample => all[sample]);
            return (Tensor.Create(x, [x.Length, 1]), Tensor.Create(Array.ConvertAll(x, value => (3 * value) - 1), [x.Length, 1]));
        }

        private Tensor Loss(Tensor x, Tensor target) => Losses.Mse(Model.Forward(x).To(DType.Float32), target);
    }

    protected static void AssertSame(Outcome resumed, Outcome whole) => Assert.Multiple(() =>
    {
        Assert.That(resumed.Steps, Is.EqualTo(whole.Steps));
        Assert.That(resumed.Parameters, Is.EqualTo(whole.Parameters));
        Assert.That(resumed.States, Is.EqualTo(whole.States));
        Assert.That(
            (resumed.Scaler, resumed.StepCount, resumed.NextLearningRate, resumed.Random, resumed.Data),
            Is.EqualTo((whole.Scaler, whole.StepCount, whole.NextLearningRate, whole.Random, whole.Data)));
    });
}
