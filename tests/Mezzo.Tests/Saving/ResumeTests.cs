// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Saving;

/// <summary>Resumed training against training that was never interrupted, bit by bit.</summary>
internal sealed class ResumeTests : ResumeFixture
{
    private const int Batches = 26; // of 5 an epoch
    private static readonly int[] Breaks = [1, 4, 13];

    private static readonly Dictionary<string, Func<Module, Optimizer>> Optimizers = new()
    {
        ["adam"] = model => new Adam(model.Parameters(), lr: 0.02),
        ["adam in groups, clipped"] = model => new Adam(model, name => AdamOptions.AdamW with
        {
            LearningRate = name.EndsWith("bias", StringComparison.Ordinal) ? 0.05 : 0.02,
            Clipping = GradientClipping.ByNorm(0.5, ClippingScope.Group),
        }),
        ["bert adam"] = model => new Adam(model.Parameters(), AdamOptions.BertAdam with { LearningRate = 0.02 }),
        ["lamb"] = model => new Lamb(model.Parameters(), new LambOptions { LearningRate = 0.02 }),
        ["sgd"] = model => new Sgd(model.Parameters(), new SgdOptions { LearningRate = 0.02 }),
        ["sgd with momentum and dampening"] = model => new Sgd(model.Parameters(), new SgdOptions { LearningRate = 0.05, Momentum = 0.9, Dampening = 0.5 }),
    };

    private static readonly Dictionary<string, LearningRateSchedule?> Schedules = new()
    {
        ["none"] = null,
        ["linear"] = new LinearSchedule(40, 5),
        ["one-cycle"] = new OneCycleSchedule(40),
        ["warmup-cosine"] = new WarmupCosineSchedule(40, 0.2),
    };

    /// <summary>What there is to break, in each precision, captured and not.</summary>
    private static IEnumerable<TestCaseData> Runs()
    {
        var captures = TestDevice.Current.Type == DeviceType.Cuda ? new[] { CaptureMode.Off, CaptureMode.Auto } : [CaptureMode.Off, CaptureMode.On];
        foreach (var precision in Enum.GetValues<Precision>())
        {
            foreach (var capture in captures)
            {
                yield return new TestCaseData(precision, capture, "adam", "linear", 1);
            }
        }

        foreach (string optimizer in Optimizers.Keys.Skip(1))
        {
            yield return new TestCaseData(Precision.Float16, captures[1], optimizer, "none", 1);
        }

        foreach (string schedule in Schedules.Keys)
        {
            yield return new TestCaseData(Precision.BFloat16, captures[0], "lamb", schedule, 1);
        }

        yield return new TestCaseData(Precision.Float16, captures[1], "adam", "one-cycle", 2);
        yield return new TestCaseData(Precision.Float32, captures[0], "sgd with momentum and dampening", "linear", 3);
    }

    [TestCaseSource(nameof(Runs))]
    public void ResumedRun_IsBitIdentical_WhereverItWasBroken(Precision precision, CaptureMode capture, string optimizer, string schedule, int microBatches)
    {
        using var whole = Make().Start();
        var steps = whole.Train(Batches);
        var expected = whole.Outcome(steps);
        if (precision == Precision.Float16)
        {
            Assert.That(steps.Count(step => step.Outcome == StepOutcome.Skipped), Is.InRange(2, steps.Count - 2), "the scale moves");
        }

        foreach (int breakAt in Breaks.Select(step => step * microBatches).Where(batches => batches < Batches))
        {
            string folder = Folder.File($"{breakAt}");
            using var first = Make().Start();
            var before = first.Train(breakAt);
            first.Trainer.Save(folder);
            var interrupted = first.Outcome([]);
            first.Train(breakAt + 3); // which is lost

            using var second = Make().Start();
            second.Trainer.Resume(folder);
            Assert.That(second.Trainer.StepsDone, Is.EqualTo(before.Count));
            AssertSame(second.Outcome([]), interrupted);
            second.Trainer.Resume(folder); // as a number has been drawn
            var after = second.Train(Batches);
            AssertSame(second.Outcome(before.Concat(after)), expected);
        }

        Program Make() => new(
            model =>
            {
                var made = Optimizers[optimizer](model);
                made.Schedule = Schedules[schedule];
                made.ScheduleSteps = schedule == "one-cycle" ? ScheduleSteps.All : ScheduleSteps.Applied;
                return made;
            },
            (order, _) => new TrainerOptions
            {
                Precision = precision,
                Capture = capture,
                MicroBatches = microBatches,
                ReadEvery = 4,
                Scaler = precision == Precision.Float16 ? new GradScaler(initScale: Math.Pow(2, 18), growthInterval: 3) : null,
                SavedParts = [("data", order)],
                LogEvery = 0,
            });
    }

    [Test]
    public void TrainerThatHasTrained_GoesBack_ToWhatWasSaved([Values] Precision precision)
    {
        using var program = new Program(model => new Adam(model.Parameters(), lr: 0.02), (order, _) => Options(order, precision));
        program.Start();
        program.Train(7);
        program.Trainer.Save(Folder.Path);
        var first = program.Outcome(program.Train(20));
        program.Trainer.Resume(Folder.Path);
        Assert.That(program.Trainer.StepsDone, Is.EqualTo(7));
        AssertSame(program.Outcome(program.Train(20)), first);
    }

    [Test]
    public void TrainerThatHasTrained_GoesForward_ToRatesItHadNotWritten()
    {
        Func<Module, Optimizer> optimizer = model => new Adam(model.Parameters(), lr: 0.02) { Schedule = new LinearSchedule(400) };
        using var far = new Program(optimizer, (order, _) => Options(order, Precision.Float32)).Start();
        far.Train(270);
        far.Trainer.Save(Folder.Path);
        var expected = far.Outcome(far.Train(275));

        using var near = new Program(optimizer, (order, _) => Options(order, Precision.Float32)).Start();
        near.Train(5);
        near.Trainer.Resume(Folder.Path);
        AssertSame(near.Outcome(near.Train(275)), expected);
    }

    [Test]
    public void SaveEvery_SavesInTheMiddleOfGroupsOfResults_AndAtTheEnd()
    {
        using var program = new Program(
            model => new Adam(model.Parameters(), lr: 0.02),
            (order, _) => new TrainerOptions { Capture = CaptureMode.On, ReadEvery = 32, SaveFolder = Folder.Path, SaveEvery = 5, SavesKept = 9, SavedParts = [("data", order)] });
        program.Start();
        var steps = program.Train(18);
        Assert.That(Directory.GetDirectories(Folder.Path).Select(Path.GetFileName).Order(), Is.EqualTo(new[] { "0001-step-00000005", "0002-step-00000010", "0003-step-00000015", "0004-step-00000018" }));
        Assert.That(steps.Select(step => step.Step), Is.EqualTo(Enumerable.Range(0, 18)));
        var expected = program.Outcome(program.Train(30));

        using var resumed = new Program(model => new Adam(model.Parameters(), lr: 0.02), (order, _) => Options(order, Precision.Float32)).Start();
        resumed.Trainer.Resume(Folder.File("0003-step-00000015"));
        resumed.Train(18);
        AssertSame(resumed.Outcome(resumed.Train(30)), expected);
    }

    [Test]
    public void CancelledRun_IsSaved_AndLosesNoBatch()
    {
        using var whole = new Program(model => new Adam(model.Parameters(), lr: 0.02), (order, _) => Options(order, Precision.Float32)).Start();
        var expected = whole.Outcome(whole.Train(12));

        using var cancellation = new CancellationTokenSource();
        Func<BatchOrder, Module, TrainerOptions> options = (order, _) => new TrainerOptions { SaveFolder = Folder.Path, SavedParts = [("data", order)] };
        using var cancelled = new Program(model => new Adam(model.Parameters(), lr: 0.02), options).Start();
        var before = cancelled.Train(12, cancellation.Token, new SynchronousProgress(step =>
        {
            if (step.Step == 6)
            {
                cancellation.Cancel();
            }
        }));
        Assert.That(before, Has.Count.EqualTo(7));

        using var resumed = new Program(model => new Adam(model.Parameters(), lr: 0.02), options).Start();
        resumed.Trainer.Resume(Folder.Path);
        Assert.That((resumed.Order.Epoch, resumed.Order.Batch), Is.EqualTo((1L, 2)));
        AssertSame(resumed.Outcome(before.Concat(resumed.Train(12))), expected);
    }

    [Test]
    public void Saving_CostsNoCapture_AndChangesNothing()
    {
        string[] Train(bool saves)
        {
            var log = new RecordingLogger();
            using var program = new Program(
                model => new Adam(model.Parameters(), lr: 0.02),
                (order, _) => new TrainerOptions { Precision = Precision.BFloat16, Capture = CaptureMode.On, SavedParts = [("data", order)], Logger = log, LogEvery = 0 });
            program.Start();
            for (int batches = 1; batches <= 20; batches++)
            {
                program.Train(batches);
                if (saves)
                {
                    program.Trainer.Save(Folder.Path);
                }
            }

            Assert.That((log.Count("Captured"), log.Count("CaptureDropped"), log.Count("Saved")), Is.EqualTo((2, 0, saves ? 20 : 0)));
            return program.Outcome([]).Parameters;
        }

        Assert.That(Train(saves: true), Is.EqualTo(Train(saves: false)));
    }

    [Test]
    public void Weights_AreTheModels_AndPythonsToRead()
    {
        using var program = new Program(model => new Adam(model.Parameters().Take(2)), (order, model) => new TrainerOptions { Model = model }).Start();
        string state = program.Trainer.Save(Folder.Path);
        using var weights = SafeTensorsFile.Open(Path.Combine(state, "weights.safetensors"));
        Assert.That(weights.Tensors.Values.Select(info => $"{info.Name} {info.Description}"), Is.EqualTo(new[] { "0.weight f32[8,1]", "0.bias f32[8]", "2.weight f32[1,8]", "2.bias f32[1]" }));
        Assert.That(weights.Metadata["format"], Is.EqualTo("pt"), "which transformers asks for");
        Assert.That(Bits(weights.Load("2.weight")), Is.EqualTo(Bits(program.Model.Parameters().ElementAt(2))));
        if (OperatingSystem.IsLinux())
        {
            Bindings.BindingsEnvironment.Run("sh", "-c", $"cd '{state}' && sha256sum --check --strict SHA256SUMS");
        }
    }

    [Test]
    public void ParametersOfOneName_NeedAModel()
    {
        using var adam = new Adam([.. new Linear(1, 1).Parameters(), .. new Linear(1, 1).Parameters()]);
        using var trainer = new Trainer(adam);
        Assert.That(() => trainer.Save(Folder.Path), Throws.InvalidOperationException.With.Message.Contain("Two parameters of the optimizer are named 'weight'"));
        using var other = new Trainer(adam, new TrainerOptions { Model = new Linear(1, 1) });
        Assert.That(() => other.Save(Folder.Path), Throws.InvalidOperationException.With.Message.Contain("The parameter weight is none of the model"));
        Assert.That(Directory.GetFileSystemEntries(Folder.Path), Is.Empty);
    }

    [Test]
    public void Options_OutOfTheirRange_AreRefused()
    {
        using var adam = new Adam(new Linear(1, 1).Parameters());
        Assert.That(() => new Trainer(adam, new TrainerOptions { SaveEvery = -1, SaveFolder = "x" }), Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(() => new Trainer(adam, new TrainerOptions { SavesKept = 0 }), Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(() => new Trainer(adam, new TrainerOptions { SaveEvery = 1 }), Throws.ArgumentException.With.Message.Contain("no SaveFolder"));
    }

    private static TrainerOptions Options(BatchOrder order, Precision precision) => new()
    {
        Precision = precision,
        Capture = CaptureMode.On,
        SavedParts = [("data", order)],
        LogEvery = 0,
    };
}
