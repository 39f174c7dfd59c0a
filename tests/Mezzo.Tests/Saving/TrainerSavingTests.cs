// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Saving;

/// <summary>What a trainer saves, where, and what it refuses.</summary>
internal sealed class TrainerSavingTests : TensorFixture
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void DeleteFolder() => _folder.Dispose();

    [Test]
    public void Buffers_OfTheOptimizersModel_AreSaved()
    {
        float[] expected;
        using (var run = new Run(SaveFolder))
        {
            run.Train(3);
            expected = run.Norm.RunningMean!.ToArray<float>();
            Assert.That(expected, Has.Some.Not.Zero);
        }

        using var resumed = new Run(SaveFolder);
        resumed.Trainer.Resume(SaveFolder);
        Assert.That(resumed.Norm.RunningMean!.ToArray<float>(), Is.EqualTo(expected));
        Assert.That(resumed.Norm.BatchesTracked!.ToArray<long>(), Is.EqualTo([3L]));
    }

    [Test]
    public void States_OfAnotherRun_AreNotDeleted()
    {
        using (var run = new Run(SaveFolder))
        {
            run.Train(2);
        }

        using var other = new Run(SaveFolder);
        Assert.That(() => other.Train(1), Throws.InvalidOperationException.With.Message.Contains("holds saved states of another run"));
        other.Trainer.Resume(SaveFolder);
        other.Train(1);
        Assert.That(other.Trainer.StepsDone, Is.EqualTo(3));
    }

    [Test]
    public void TheEndOfARun_IsSaved_WhateverElseWas()
    {
        using var run = new Run(SaveFolder);
        run.Train(2, new SynchronousProgress(result => run.Trainer.Save(_folder.File($"best-{result.Step}"))));
        Assert.That(TrainingState.Exists(SaveFolder));
        run.Trainer.Resume(_folder.File("best-0"));
        run.Train(1);
        Assert.That(Directory.GetDirectories(SaveFolder), Has.Length.EqualTo(2), "the end of the branch, too");
    }

    [Test]
    public void AnotherOptLevel_IsRefused()
    {
        using (var run = new Run(SaveFolder, OptLevelOptions.O2 with { HalfType = DType.BFloat16 }))
        {
            run.Train(1);
        }

        foreach (var options in new[] { OptLevelOptions.O0, OptLevelOptions.O3 with { HalfType = DType.BFloat16 }, OptLevelOptions.O2 with { HalfType = DType.BFloat16, MasterWeights = MasterWeights.Remainder } })
        {
            using var other = new Run(SaveFolder, options);
            Assert.That(() => other.Trainer.Resume(SaveFolder), Throws.TypeOf<SavedFileException>().With.Message.Contains("trainer.parameters is 'f32 x 2, f32 seen as bf16 x 2'"));
        }
    }

    [Test]
    public void WhatCannotBeSaved_IsRefusedWhenTheTrainerIsMade()
    {
        using var first = new Linear(1, 1);
        using var second = new Linear(1, 1);
        using var both = new Sgd(first.Parameters().Concat(second.Parameters()), new SgdOptions());
        Assert.That(() => new Trainer(both, new TrainerOptions { SaveFolder = SaveFolder }), Throws.InvalidOperationException.With.Message.Contains("Two parameters of the optimizer are named"));
        Assert.That(() => new Trainer(both, new TrainerOptions { SaveFolder = SaveFolder, Model = first }), Throws.InvalidOperationException.With.Message.Contains("is none of the model"));
        using var one = new Sgd(first.Parameters(), new SgdOptions());
        Assert.That(
            () => new Trainer(one, new TrainerOptions { SaveFolder = SaveFolder, SavedParts = [("random", RandomSource.Default)] }),
            Throws.ArgumentException.With.Message.Contains("Two parts are named 'random'"));
    }

    private string SaveFolder => _folder.File("run");

    /// <summary>A program that trains a model with buffers and saves at its end.</summary>
    private sealed class Run : IDisposable
    {
        private readonly AmpModel<Tensor, Tensor> _amp;
        private readonly Sgd _sgd;
        private readonly Tensor _x = Tensor.Uniform([8, 3], 0, 1);

        public Run(string folder, OptLevelOptions? options = null)
        {
            Norm = new BatchNorm1d(3);
            _amp = Mezzo.Amp.Initialize(new Sequential(Norm, new Linear(3, 2)), options ?? OptLevelOptions.O0);
            _sgd = new Sgd(_amp, _ => new SgdOptions { LearningRate = 0.1 });
            Trainer = new Trainer(_sgd, new TrainerOptions { SaveFolder = folder, Scaler = _amp.Scaler });
        }

        public BatchNorm1d Norm { get; }

        public Trainer Trainer { get; }

        public void Train(int steps, IProgress<StepResult>? progress = null) =>
            Trainer.Run(() => _amp.Forward(_x).To(DType.Float32).Sum(), steps, progress);

        public void Dispose()
        {
            Trainer.Dispose();
            _sgd.Dispose();
            _amp.Dispose();
        }
    }
}
