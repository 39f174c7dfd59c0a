// SPDX-License-Identifier: MIT
using System.Security.Cryptography;
using System.Text;
using Mezzo.Tests.Support;
using Microsoft.Extensions.Logging;

namespace Mezzo.Tests.Saving;

/// <summary>Saved states that are damaged, made up or of another run.</summary>
internal sealed class TrainingStateTests : TensorFixture
{
    private const string Folder = "/run";
    private const string Json = "training.json";
    private static readonly string[] Files = ["weights.safetensors", "training.safetensors", Json];

    [Test]
    public void State_ComesBack_ThroughALoopOfOnesOwn()
    {
        using var folder = new TemporaryFolder();
        var (saved, resumed) = (new Run(), new Run());
        Assert.That(TrainingState.Exists(folder.Path), Is.False);
        saved.Step();
        saved.Step();
        string state = new TrainingState(saved.Model, saved.Parts).Save(folder.Path, step: 2);
        Assert.That((TrainingState.Exists(folder.Path), TrainingState.Exists(state)), Is.EqualTo((true, true)));
        Assert.That(new TrainingState(resumed.Model, resumed.Parts).Resume(folder.Path), Is.EqualTo(2));
        Assert.That(resumed.All(), Is.EqualTo(saved.All()));
        resumed.Step();
        saved.Step();
        Assert.That(resumed.All(), Is.EqualTo(saved.All()));
    }

    [Test]
    public void LatestStateDamaged_IsPassedOver_WithAWarning()
    {
        var (disk, run, _, states) = Saved();
        var random = new Random(1);
        string[] before = run.All();
        for (int i = 0; i < 100; i++)
        {
            string file = Path.Combine(states[0], random.GetItems((string[])[.. Files, SavedFolder.SumsFile], 1)[0]);
            int index = random.Next(disk.BytesOf(file).Count);
            byte mask = (byte)random.Next(1, 256);
            disk.Damage(file, index, mask);

            var log = new RecordingLogger();
            Assert.That(run.State(disk, log).Resume(Folder), Is.EqualTo(1));
            var warning = log.Entries.Single(entry => entry.Level == LogLevel.Warning);
            Assert.That((warning.Event.Name, warning.Line.Contains(file, StringComparison.Ordinal) || warning.Line.Contains(SavedFolder.SumsFile, StringComparison.Ordinal)), Is.EqualTo(("SavedStateDamaged", true)));
            string[] first = run.All();
            Assert.That(first, Is.Not.EqualTo(before));

            Assert.That(() => run.State(disk).Resume(states[0]), Throws.TypeOf<SavedFileException>(), "asked for by name");
            Assert.That(run.All(), Is.EqualTo(first), "nothing has been changed");

            disk.Damage(file, index, mask);
            Assert.That(run.State(disk).Resume(Folder), Is.EqualTo(2));
            Assert.That(run.All(), Is.EqualTo(before));
        }
    }

    [Test]
    public void EveryStateDamaged_IsAnError_NamingTheLatest()
    {
        var (disk, run, _, states) = Saved();
        foreach (string state in states)
        {
            disk.BytesOf(Path.Combine(state, Json)).RemoveAt(0);
        }

        Assert.That(
            () => run.State(disk).Resume(Folder),
            Throws.TypeOf<SavedFileException>().With.Message.EqualTo($"{states[0]}/{Json}: has not the SHA-256 sum that SHA256SUMS gives: it is truncated or corrupt"));
        Assert.That(() => run.State(disk).Resume("/none"), Throws.TypeOf<SavedFileException>().With.Message.EqualTo("/none: holds no saved state"));
    }

    [TestCase("training.json")]
    [TestCase("training.safetensors")]
    [TestCase("weights.safetensors")]
    public void FileMadeUp_WithRightSums_IsLoadedWholeOrRefusedWhole(string name)
    {
        var (disk, run, _, states) = Saved();
        string file = Path.Combine(states[0], name);
        byte[] whole = [.. disk.BytesOf(file)];
        var random = new Random(2);
        int refused = 0;
        for (int index = 0; index < whole.Length; index++)
        {
            byte[] changed = [.. whole];
            if (index % 2 == 0)
            {
                changed[index] ^= (byte)(1 << random.Next(8));
            }
            else
            {
                Array.Resize(ref changed, index);
            }

            Forge(disk, states[0], name, changed);
            string[] before = run.All();
            try
            {
                run.State(disk).Resume(states[0]);
            }
            catch (SavedFileException)
            {
                refused++;
                Assert.That(run.All(), Is.EqualTo(before), $"byte {index}");
            }
        }

        Assert.That(refused, Is.GreaterThan(whole.Length / 2));
    }

    [TestCase("\"format\": \"mezzo training state\"", "\"format\": \"x\"", "is not a mezzo training state")]
    [TestCase("\"version\": 1", "\"version\": 2", "is not a mezzo training state of version 1")]
    [TestCase("\"step\": 2", "\"step\": -2", "is not a mezzo training state")]
    [TestCase("\"step\": 2", "\"step\": 1e999", "is not a mezzo training state")]
    [TestCase("\"epoch\": 0", "\"epoch\": -1", "data.epoch is -1, expected at least 0")]
    [TestCase("\"batch\": 2", "\"batch\": 3", "data.batch is 3, expected less than the 3 of an epoch")]
    [TestCase("\"batch\": 2", "\"batch\": \"x\"", "data.batch is something else than a whole number")]
    [TestCase("\"batch\": 2", "\"batch\": 2.5", "data.batch is something else than a whole number")]
    [TestCase("\"batch\": 2", "\"batch\": null", "data.batch is something else than a whole number")]
    [TestCase("\"batch\": 2", "\"batch\": [2]", "is something else")]
    [TestCase("\"batch\": 2", "\"match\": 2", "data.batch is missing, expected a whole number")]
    [TestCase("\"batch\": 2", "\"batch\": 2, \"more\": 1", "data holds what is not expected here: more")]
    [TestCase("\"batch\": 2", "\"batch\": 2, \"batch\": 2", "is not valid JSON")]
    [TestCase("\"data\": {", "\"other\": {", "holds the parts other, optimizer, scaler, random, expected data, optimizer, scaler, random")]
    [TestCase("\"kind\": \"Adam\"", "\"kind\": \"Sgd\"", "optimizer.kind is 'Sgd', expected 'Adam'")]
    [TestCase("\"group0.steps\": 2", "\"group0.steps\": -1", "optimizer.group0.steps is -1, expected at least 0")]
    [TestCase("\"group0.learning_rate\": 0.1", "\"group0.learning_rate\": \"NaN\"", "optimizer.group0.learning_rate is NaN, expected a finite number")]
    [TestCase("\"scale\": 1024", "\"scale\": -1", "scaler.scale cannot be taken over: The loss scale must be finite and > 0.0 in f32")]
    [TestCase("\"scale\": 1024", "\"scale\": \"Infinity\"", "scaler.scale cannot be taken over")]
    [TestCase("\"growth_interval\": 2000", "\"growth_interval\": 3000000000", "scaler.growth_interval is not a number of 32 bits")]
    [TestCase("\"growth_tracker\": 2", "\"growth_tracker\": -2", "_growth_tracker is -2, expected at least 0")]
    [TestCase("\"seed\": \"7\"", "\"seed\": \"-7\"", "random.seed is '-7', expected a whole number")]
    public void ValueMadeUp_IsRefused_NamingIt(string text, string other, string reason)
    {
        var (disk, run, _, states) = Saved();
        string json = Encoding.UTF8.GetString([.. disk.BytesOf(Path.Combine(states[0], Json))]);
        Assert.That(json, Does.Contain(text));
        Forge(disk, states[0], Json, Encoding.UTF8.GetBytes(json.Replace(text, other, StringComparison.Ordinal)));
        string[] before = run.All();
        Assert.That(() => run.State(disk).Resume(states[0]), Throws.TypeOf<SavedFileException>().With.Message.Contain(reason));
        Assert.That(run.All(), Is.EqualTo(before));
    }

    [TestCase("width", "optimizer.exp_avg.0.weight is f32[2,1], expected f32[3,1]")]
    [TestCase("layers", "optimizer.group0.parameters is '0.weight, 0.bias', expected '0.weight, 0.bias, 1.weight, 1.bias'")]
    [TestCase("frozen", "does not fit the model: missing: 1.weight, 1.bias")]
    [TestCase("optimizer", "optimizer.kind is 'Adam', expected 'Sgd'")]
    [TestCase("options", "WeightDecay = 0, Clipping = , Beta1 = 0.9")]
    [TestCase("schedule", "optimizer.group0.schedule is 'none', expected 'LinearSchedule { TotalSteps = 7, WarmupSteps = 0 }'")]
    [TestCase("counting", "optimizer.group0.schedule_steps is 'Applied', expected 'All'")]
    [TestCase("policy", "scaler.policy is 'ScalerPolicy { Name = torch")]
    [TestCase("data", "data.order is '6 samples, batch size 2, shuffle True, drop last False, seed 0', expected '6 samples, batch size 3")]
    [TestCase("parts", "holds the parts data, optimizer, scaler, random, expected data, optimizer, scaler")]
    public void StateOfAnotherRun_IsRefused_NamingWhatDiffers(string what, string reason)
    {
        var (disk, _, _, states) = Saved();
        var other = new Run(what);
        string[] before = other.All();
        var exception = Assert.Throws<SavedFileException>(() => other.State(disk).Resume(Folder))!;
        Assert.That(exception.Message, Does.StartWith(states[0]).And.Contain(reason));
        Assert.That(other.All(), Is.EqualTo(before));
    }

    [Test]
    public void State_IsReadUnderAnyCulture()
    {
        var culture = System.Globalization.CultureInfo.CurrentCulture;
        var (disk, run, _, _) = Saved();
        try
        {
            var other = (System.Globalization.CultureInfo)System.Globalization.CultureInfo.InvariantCulture.Clone();
            other.NumberFormat.NumberDecimalSeparator = ",";
            other.NumberFormat.NegativeSign = "~";
            System.Globalization.CultureInfo.CurrentCulture = other;
            Assert.That(run.State(disk).Resume(Folder), Is.EqualTo(2));
            run.State(disk).Save(Folder, step: 3);
        }
        finally
        {
            System.Globalization.CultureInfo.CurrentCulture = culture;
        }

        Assert.That(run.State(disk).Resume(Folder), Is.EqualTo(3));
    }

    [Test]
    public void PartOfOnesOwn_IsSavedToo()
    {
        var disk = new SimulatedDisk();
        var own = new OwnPart { Number = -5, Value = -0.0, Text = "ä\n", Tensor = Tensor.Create([1.5, 2.5], [2]) };
        var weights = new Dictionary<string, Tensor>();
        new TrainingState(() => weights, [("own", own)], disk: disk).Save(Folder, step: 0);
        var read = new OwnPart { Tensor = Tensor.Zeros([2], DType.Float64) };
        new TrainingState(() => weights, [("own", read)], disk: disk).Resume(Folder);
        Assert.That((read.Number, read.Value, read.Text, Bits(read.Tensor)), Is.EqualTo((-5L, -0.0, "ä\n", Bits(own.Tensor))));
        Assert.That(double.IsNegative(read.Value));
    }

    [Test]
    public void NamesOfParts_AreTheirOwn()
    {
        using var model = new Linear(1, 1);
        var order = new BatchOrder(1, 1);
        Assert.That(() => new TrainingState(model, ("a", order), ("a", order)), Throws.ArgumentException.With.Message.Contain("Two parts are named 'a'"));
        Assert.That(() => new TrainingState(model, ("a.b", order)), Throws.ArgumentException.With.Message.Contain("'a.b', expected a name without a dot"));
        Assert.That(() => new TrainingState(model).Save("x", step: -1), Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(() => new TrainingState(model).Save("x", step: 1, keep: 0), Throws.TypeOf<ArgumentOutOfRangeException>());
    }

    private static (SimulatedDisk Disk, Run Run, long Step, IReadOnlyList<string> States) Saved()
    {
        var disk = new SimulatedDisk();
        var run = new Run();
        for (int step = 1; step <= 2; step++)
        {
            run.Step();
            run.State(disk).Save(Folder, step);
        }

        return (disk, run, 2, new SavedFolder(disk, Folder).List());
    }

    /// <summary>Puts other bytes into a file of a state, and sums that fit.</summary>
    private static void Forge(SimulatedDisk disk, string state, string name, byte[] bytes)
    {
        Overwrite(name, bytes);
        Overwrite(SavedFolder.SumsFile, Encoding.ASCII.GetBytes(string.Concat(
            Files.Select(file => $"{Convert.ToHexStringLower(SHA256.HashData([.. disk.BytesOf(Path.Combine(state, file))]))}  {file}\n"))));

        void Overwrite(string file, byte[] content)
        {
            var target = disk.BytesOf(Path.Combine(state, file));
            target.Clear();
            target.AddRange(content);
        }
    }

    /// <summary>A loop of one's own, or one that differs from it.</summary>
    private sealed class Run
    {
        private readonly GradScaler _scaler;
        private readonly RandomSource _random = new(7);
        private readonly BatchOrder _order;
        private readonly Optimizer _optimizer;
        private readonly string _differs;

        public Run(string differs = "")
        {
            _differs = differs;
            Linear Layer(int outputs) => new(1, outputs, random: _random);
            Model = differs is "layers" or "frozen" ? new Sequential(Layer(2), new Linear(2, 1, random: _random)) : new Sequential(Layer(differs == "width" ? 3 : 2));
            var parameters = Model.Parameters().Take(differs == "frozen" ? 2 : 4);
            _optimizer = differs == "optimizer" ? new Sgd(parameters) : new Adam(parameters, lr: 0.1, weightDecay: differs == "options" ? 0.5 : 0);
            _optimizer.Schedule = differs == "schedule" ? new LinearSchedule(7) : null;
            _optimizer.ScheduleSteps = differs == "counting" ? ScheduleSteps.All : ScheduleSteps.Applied;
            _scaler = new GradScaler(differs == "policy" ? ScalerPolicy.Megatron : ScalerPolicy.Torch with { InitScale = 1024 });
            _order = new BatchOrder(6, differs == "data" ? 3 : 2);
        }

        public Sequential Model { get; }

        public (string, IResumable)[] Parts =>
        [
            ("data", _order), ("optimizer", _optimizer), ("scaler", _scaler), .. _differs == "parts" ? Array.Empty<(string, IResumable)>() : [("random", _random)],
        ];

        public TrainingState State(Disk disk, ILogger? logger = null) => new(Model.StateDict, Parts, logger, disk);

        public void Step()
        {
            using var scope = TensorScope.Begin();
            _optimizer.ZeroGrad();
            int[] samples = _order.Batches(1000).First();
            var x = Tensor.Create([.. samples.Select(sample => (float)sample)], [samples.Length, 1]) + Tensor.Uniform([samples.Length, 1], random: _random);
            _scaler.Scale(Model.Forward(x).Sum()).Backward();
            _scaler.Step(_optimizer);
            _scaler.Update();
        }

        public string[] All()
        {
            using var noGrad = NoGrad.Enter();
            var part = new SavedPart("all", Model.NamedParameters().ToDictionary(named => named.Parameter, named => named.Name));
            ((IResumable)_optimizer).Save(part);
            return
            [
                .. Model.Parameters().Select(Bits), .. part.Tensors.Values.Select(Bits), $"{_optimizer.StepCount}", _scaler.StateDict().ToString(),
                $"{_random.Seed} {_random.StreamsTaken} {_order.Epoch} {_order.Batch}",
            ];
        }
    }

    private sealed class OwnPart : IResumable
    {
        public long Number { get; set; }

        public double Value { get; set; }

        public string Text { get; set; } = "";

        public required Tensor Tensor { get; init; }

        public void Save(SavedPart part)
        {
            part.Write("number", Number);
            part.Write("value", Value);
            part.Write("text", Text);
            part.Write("tensor", Tensor);
        }

        public Action Load(SavedPart part)
        {
            var (number, value, text, tensor) = (part.ReadInt64("number"), part.ReadDouble("value"), part.ReadString("text"), part.ReadTensor("tensor", DType.Float64, [-1]));
            return () =>
            {
                (Number, Value, Text) = (number, value, text);
                Tensor.CopyFrom(tensor);
            };
        }
    }
}
