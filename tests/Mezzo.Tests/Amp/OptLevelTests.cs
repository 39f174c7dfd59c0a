// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Amp;

internal sealed class OptLevelTests : TensorFixture
{
    // apex: level, cast_model_type, keep_batchnorm_fp32, master_weights, scale that it begins with, whether it moves.
    [TestCase(OptLevel.O0, false, null, MasterWeights.None, 1, false)]
    [TestCase(OptLevel.O1, false, null, MasterWeights.None, 65536, true)]
    [TestCase(OptLevel.O2, true, true, MasterWeights.Float32, 65536, true)]
    [TestCase(OptLevel.O3, true, false, MasterWeights.None, 1, false)]
    public void Levels_AreThoseOfApex(OptLevel level, bool castModel, bool? keepBatchNorm, MasterWeights masters, double scale, bool isDynamic)
    {
        using var amp = Mezzo.Amp.Initialize(Net(), level);
        Assert.Multiple(() =>
        {
            Assert.That(amp.Options.CastModel, Is.EqualTo(castModel));
            Assert.That(amp.Options.KeepBatchNormFloat32, Is.EqualTo(keepBatchNorm));
            Assert.That(amp.Options.MasterWeights, Is.EqualTo(masters));
            Assert.That(amp.Scaler.GetScale(), Is.EqualTo(scale));
            Assert.That(amp.Scaler.Policy.IsStatic, Is.EqualTo(!isDynamic));
        });
    }

    [TestCase(OptLevel.O0, DType.Float32, DType.Float32, DType.Float32, DType.Float32)]
    [TestCase(OptLevel.O1, DType.Float16, DType.Float16, DType.Float32, DType.Float32)]
    [TestCase(OptLevel.O2, DType.Float16, DType.Float32, DType.Float32, DType.Float32)]
    [TestCase(OptLevel.O3, DType.Float16, DType.Float32, DType.Float16, DType.Float16)]
    public void Levels_RunOpsAndKeepParametersInTheirDTypes(OptLevel level, DType ops, DType output, DType parameters, DType gradients)
    {
        using var amp = Mezzo.Amp.Initialize(Net(), level);
        Tensor? result = null;
        var manifest = OpManifest.Record(() => result = amp.Forward(Tensor.Uniform([5, 3], -1, 1)));
        result!.To(DType.Float32).Sum().Backward();
        Assert.Multiple(() =>
        {
            Assert.That(manifest.Entries.Where(entry => entry.Op == "linear").Select(entry => entry.Output), Is.All.EqualTo(ops));
            Assert.That(result.DType, Is.EqualTo(output));
            Assert.That(amp.Parameters().Select(parameter => parameter.DType), Is.All.EqualTo(parameters));
            Assert.That(amp.Parameters().Select(parameter => parameter.Grad!.DType), Is.All.EqualTo(gradients));
            Assert.That(amp.NamedParameters().Select(named => named.Name), Is.EqualTo(amp.Model.NamedParameters().Select(named => named.Name)));
        });
    }

    [TestCase(DType.Float16)]
    [TestCase(DType.BFloat16)]
    public void O2_SeesItsParametersRounded(DType half)
    {
        var net = Net();
        var x = Tensor.Uniform([5, 3], -1, 1);
        var layers = net.Parameters().Select(parameter => parameter.To(half)).ToArray();
        double[] expected = Values(x.To(half).LinearRelu(layers[0], layers[1]).Linear(layers[2], layers[3]));
        using var amp = Mezzo.Amp.Initialize(net, OptLevelOptions.O2 with { HalfType = half });
        Assert.That(Values(amp.Forward(x)), Is.EqualTo(expected));
    }

    [Test]
    public void UpdatesBelowAHalfsLastBit_AddUpInMasterWeightsAlone([Values] OptLevel level)
    {
        // Each step subtracts 2^-14 of a weight of 1, whose last bit in f16 is 2^-11 below 1.
        const int Steps = 64;
        var net = new Linear(1, 1, bias: false);
        net.Weight.Fill(1);
        using var amp = Mezzo.Amp.Initialize(net, OptLevelOptions.Of(level) with { LossScale = ScalerPolicy.Static(8) });
        using var sgd = new Sgd(amp.Parameters(), new SgdOptions { LearningRate = Math.Pow(2, -14) });
        using var trainer = new Trainer(sgd, new TrainerOptions { Precision = amp.Options.Precision, Scaler = amp.Scaler });
        var one = Tensor.Full([1, 1], 1);
        trainer.Run(() => amp.Forward(one).Sum(), Steps);
        double expected = level == OptLevel.O3 ? 1 : 1 - (Steps * Math.Pow(2, -14));
        Assert.That(Values(net.Weight)[0], Is.EqualTo(expected));
        Assert.That(Values(amp.Forward(one))[0], Is.EqualTo(expected), "what ops see has moved along");
    }

    [Test]
    public void EachLevel_Learns([Values] OptLevel level, [Values(DType.Float16, DType.BFloat16)] DType half, [Values] CaptureMode capture)
    {
        var (losses, values) = Train(OptLevelOptions.Of(level) with { HalfType = half }, capture, steps: 30);
        Assert.That(losses[^1], Is.LessThan(losses[0] / 2));
        Assert.That(values, Has.None.NaN);
        if (capture != CaptureMode.Off)
        {
            var (plainLosses, plainValues) = Train(OptLevelOptions.Of(level) with { HalfType = half }, CaptureMode.Off, steps: 30);
            Assert.That((losses, values), Is.EqualTo((plainLosses, plainValues)), "captured and not");
        }
    }

    [Test]
    public void Remainders_TrainAsF32MastersDoWithTheSameGradients()
    {
        // One weight that sees no rounding of itself: its gradient is the input's sum, whatever it is.
        var (wide, split) = (new Linear(3, 2), new Linear(3, 2));
        split.CopyParametersFrom(wide);
        float[] first = wide.Weight.ToArray<float>();
        using var masters = Mezzo.Amp.Initialize(wide, OptLevelOptions.O2 with { HalfType = DType.BFloat16 });
        using var remainders = Mezzo.Amp.Initialize(split, OptLevelOptions.O2 with { HalfType = DType.BFloat16, MasterWeights = MasterWeights.Remainder });
        Assert.That(split.Weight.ReadFullPrecision(), Is.EqualTo(first), "nothing is lost by splitting");
        Assert.That(split.Weight.DType, Is.EqualTo(DType.BFloat16));

        var x = Tensor.Create([0.5f, -0.25f, 2f], [1, 3]);
        foreach (var amp in new[] { masters, remainders })
        {
            using var adam = new Adam(amp.Parameters(), lr: 1e-3);
            using var trainer = new Trainer(adam, new TrainerOptions { Scaler = amp.Scaler });
            trainer.Run(() => amp.Forward(x).Sum(), steps: 20);
        }

        Assert.That(split.Weight.ReadFullPrecision(), Is.EqualTo(wide.Weight.ToArray<float>()), "bit by bit");
        Assert.That(split.Bias!.ReadFullPrecision(), Is.EqualTo(wide.Bias!.ToArray<float>()));
        Assert.That(split.Weight.ReadFullPrecision(), Is.Not.EqualTo(first));
    }

    [Test]
    public void Remainders_AreForgotten_WhereTheParameterIsWritten([Values] CaptureMode capture)
    {
        var layer = new Linear(1, 2, bias: false);
        layer.Weight.Write<float>([1.001f, -3.9999f]);
        using var amp = Mezzo.Amp.Initialize(layer, OptLevelOptions.O2 with { HalfType = DType.BFloat16, MasterWeights = MasterWeights.Remainder });
        using var sgd = new Sgd(amp.Parameters(), new SgdOptions { LearningRate = Math.Pow(2, -14) });
        using var trainer = new Trainer(sgd, new TrainerOptions { Scaler = amp.Scaler, Capture = capture });
        var one = Tensor.Full([1, 1], 1);
        Func<Tensor> loss = () => amp.Forward(one).Sum();
        trainer.Run(loss, 3);
        foreach (float value in new[] { 0f, 1f, -2f })
        {
            layer.Weight.Fill(value);
            Assert.That(layer.Weight.ReadFullPrecision(), Is.All.EqualTo(value));
            layer.Weight.Fill(value);
            trainer.Run(loss, 2);
            float expected = value - MathF.Pow(2, -14) - MathF.Pow(2, -14);
            Assert.That(layer.Weight.ReadFullPrecision(), Is.All.EqualTo(expected), $"from {value}");
        }

        using var copy = Mezzo.Amp.Initialize(new Linear(1, 2, bias: false), amp.Options);
        copy.Model.CopyParametersFrom(layer);
        Assert.That(copy.Parameters().Single().ReadFullPrecision(), Is.EqualTo(layer.Weight.ReadFullPrecision()));
    }

    [Test]
    public void Remainders_SumGradientsInF32()
    {
        using var amp = Mezzo.Amp.Initialize(
            new Linear(1, 1, bias: false), OptLevelOptions.O2 with { HalfType = DType.BFloat16, MasterWeights = MasterWeights.Remainder });
        for (int i = 0; i < 300; i++)
        {
            amp.Forward(Tensor.Full([1, 1], 1)).Sum().Backward(); // bf16 stops at 256
        }

        Assert.That(Values(amp.Parameters().Single().Grad!), Is.EqualTo([300.0]));
    }

    [Test]
    public void CopiesOfParameters_AreNotWritten()
    {
        var net = new Linear(3, 2);
        using var amp = Mezzo.Amp.Initialize(net, OptLevel.O2);
        using var noGrad = NoGrad.Enter();
        Assert.That(() => net.Weight.Slice(0, 1).Fill(0), Throws.InvalidOperationException.With.Message.Contains("write to the parameter itself"));
        net.Weight.Fill(2);
        Assert.That(Values(net.Weight.Slice(0, 1)), Is.All.EqualTo(2.0));
    }

    [Test]
    public void Captures_EndWhereTheModelIsCast([Values] OptLevel level)
    {
        var net = Net();
        var (x, y) = (Tensor.Uniform([8, 3], -1, 1), Tensor.Uniform([8, 2], 0, 1));
        Module<Tensor, Tensor> model = net;
        using var sgd = new Sgd(net.Parameters(), new SgdOptions { LearningRate = 0.1 });
        using var trainer = new Trainer(sgd, new TrainerOptions { Capture = CaptureMode.On });
        Func<Tensor> loss = () => Losses.Mse(model.Forward(x), y);
        trainer.Run(loss, 5);
        model = Mezzo.Amp.Initialize(net, level);
        double[] before = Values(net.Parameters().First());
        trainer.Run(loss, 3);
        Assert.That(Values(net.Parameters().First()), Is.Not.EqualTo(before), "the parameters, and not what they were kept in");
    }

    [Test]
    public void Scales_OfF16Gradients_AreNotDividedInF16()
    {
        using var amp = Mezzo.Amp.Initialize(Net(), OptLevelOptions.O3 with { LossScale = ScalerPolicy.Torch });
        using var sgd = new Sgd(amp.Parameters(), new SgdOptions { LearningRate = 0.1 });
        var gradients = amp.Scaler.Backward(amp.Forward(Tensor.Uniform([4, 3])).Sum(), sgd);
        Assert.That(() => gradients.Unscale(), Throws.InvalidOperationException.With.Message.StartsWith("Attempting to unscale FP16 gradients."[..^1]));
    }

    [Test]
    public void SplitFloats_JoinToTheSameBits()
    {
        float[] values =
        [
            0, -0f, 1, -1, float.MaxValue, float.MinValue, float.Epsilon, float.PositiveInfinity, float.NegativeInfinity, float.NaN, 1.00390625f, 3.1415927f,
            .. Enumerable.Range(0, 1000).Select(i => BitConverter.Int32BitsToSingle((i * 4_194_303) & int.MaxValue)).Where(value => !float.IsNaN(value)),
        ];
        var (upper, lower) = SplitFloat.Split(values);
        Assert.That(Array.ConvertAll(SplitFloat.Join(upper, lower), BitConverter.SingleToInt32Bits), Is.EqualTo(Array.ConvertAll(values, BitConverter.SingleToInt32Bits)));
        foreach (var (value, rounded) in values.Zip(upper))
        {
            Assert.That(float.IsNaN((float)rounded), Is.EqualTo(float.IsNaN(value)));
            Assert.That(Math.Abs((float)rounded - value) <= Math.Abs(value) / 256 || float.IsNaN(value) || float.IsInfinity((float)rounded) || Math.Abs(value) < 1e-37);
        }
    }

    [Test]
    public void BatchNorm_StaysInF32WhereTheLevelKeepsIt()
    {
        var (kept, cast) = (new BatchNorm1d(2), new BatchNorm1d(2));
        using var keeps = Mezzo.Amp.Initialize(kept, OptLevel.O2);
        using var casts = Mezzo.Amp.Initialize(cast, OptLevelOptions.O2 with { KeepBatchNormFloat32 = false });
        using var all = Mezzo.Amp.Initialize(new BatchNorm1d(2), OptLevel.O3);
        Assert.That((kept.Weight!.ComputeDType, cast.Weight!.ComputeDType), Is.EqualTo(((DType?)null, (DType?)DType.Float16)));
        Assert.That(all.Parameters().Select(parameter => parameter.DType), Is.All.EqualTo(DType.Float16));
        Assert.That(all.Buffers().Select(buffer => buffer.DType), Does.Not.Contain(DType.Float16), "statistics stay f32");
    }

    [Test]
    public void IllegalCombinations_AreRefused()
    {
        (OptLevelOptions Options, string Message)[] cases =
        [
            (OptLevelOptions.O1 with { CastModel = true }, "O1 casts inputs of ops"),
            (OptLevelOptions.O1 with { KeepBatchNormFloat32 = true }, "O1 casts inputs of ops"),
            (OptLevelOptions.O1 with { MasterWeights = MasterWeights.Float32 }, "O1 casts inputs of ops"),
            (OptLevelOptions.O0 with { KeepBatchNormFloat32 = true }, "O0 has KeepBatchNormFloat32 without CastModel"),
            (OptLevelOptions.O0 with { MasterWeights = MasterWeights.Float32 }, "O0 has MasterWeights.Float32 without CastModel"),
            (OptLevelOptions.O2 with { MasterWeights = MasterWeights.Remainder }, "O2 has MasterWeights.Remainder with f16, expected bf16"),
        ];
        foreach (var (options, message) in cases)
        {
            Assert.That(() => Mezzo.Amp.Initialize(Net(), options), Throws.ArgumentException.With.Message.Contains(message));
        }

        Assert.That(() => OptLevelOptions.O2 with { HalfType = DType.Float32 }, Throws.ArgumentException.With.Message.Contains("HalfType is f32"));
        Assert.That(() => OptLevelOptions.Of((OptLevel)4), Throws.TypeOf<ArgumentOutOfRangeException>());
    }

    [Test]
    public void Models_ThatCannotBeCast_AreRefusedWhole()
    {
        var net = Net();
        using var amp = Mezzo.Amp.Initialize(net, OptLevel.O2);
        Assert.That(() => Mezzo.Amp.Initialize(net, OptLevel.O2), Throws.InvalidOperationException.With.Message.Contains("0.weight has been cast by an earlier"));
        var mixed = new Sequential(new Linear(3, 4), new Linear(4, 2, dtype: DType.Float64));
        Assert.That(() => Mezzo.Amp.Initialize(mixed, OptLevel.O3), Throws.ArgumentException.With.Message.Contains("1.weight is f64[2,4], expected f32"));
        Assert.That(mixed.Parameters().First().DType, Is.EqualTo(DType.Float32), "nothing is half cast");
    }

    [Test]
    public void F64AndIntegers_PassAsTheyAre()
    {
        using var amp = Mezzo.Amp.Initialize(new Passing(), OptLevel.O2);
        var (first, second) = amp.Forward((Tensor.Zeros([2], DType.Float64), Tensor.Zeros([2], DType.Int64)));
        Assert.That((first.DType, second.DType), Is.EqualTo((DType.Float64, DType.Int64)));
    }

    [Test]
    public void EachLayer_RunsAtEachLevel([Values] OptLevel level, [Values(DType.Float16, DType.BFloat16)] DType half)
    {
        var net = new Sequential(
            new Linear(4, 8), new BatchNorm1d(8), new GELU(), new LayerNorm(8), new SiLU(), new RMSNorm(8), new Tanh(), new Dropout(0.1), new Sigmoid(), new Linear(8, 3));
        using var amp = Mezzo.Amp.Initialize(net, OptLevelOptions.Of(level) with { HalfType = half });
        using var adam = new Adam(amp.Parameters(), lr: 0.01, eps: 1e-4);
        using var trainer = new Trainer(adam, new TrainerOptions { Precision = amp.Options.Precision, Scaler = amp.Scaler });
        var (x, classes) = (Tensor.Uniform([16, 4], -1, 1), Tensor.Create([.. Enumerable.Range(0, 16).Select(i => i % 3)], [16]));
        var history = trainer.Run(() => Losses.CrossEntropy(amp.Forward(x), classes), 5);
        Assert.That(history.Steps.Select(step => (step.Outcome, double.IsFinite(step.Loss))), Is.All.EqualTo((StepOutcome.Applied, true)));
    }

    [TestCase(OptLevel.O0, MasterWeights.None)]
    [TestCase(OptLevel.O1, MasterWeights.None)]
    [TestCase(OptLevel.O2, MasterWeights.None)]
    [TestCase(OptLevel.O2, MasterWeights.Float32)]
    [TestCase(OptLevel.O2, MasterWeights.Remainder)]
    [TestCase(OptLevel.O3, MasterWeights.None)]
    public void StateDictionaries_AreF32AtEachLevel(OptLevel level, MasterWeights masters)
    {
        var options = OptLevelOptions.Of(level) with { HalfType = DType.BFloat16, MasterWeights = masters };
        using var amp = Mezzo.Amp.Initialize(Net(), options);
        using var adam = new Adam(amp.Parameters(), lr: 1e-3);
        using var trainer = new Trainer(adam, new TrainerOptions { Precision = amp.Options.Precision, Scaler = amp.Scaler });
        var x = Tensor.Uniform([4, 3], -1, 1);
        trainer.Run(() => amp.Forward(x).To(DType.Float32).Sum(), 3);
        var state = amp.StateDict();
        Assert.That(state.Values.Select(tensor => tensor.DType), Is.All.EqualTo(DType.Float32));

        using var other = Mezzo.Amp.Initialize(Net(), options);
        other.LoadStateDict(state);
        Assert.That(other.StateDict().Values.Select(Bits), Is.EqualTo(state.Values.Select(Bits)), "nothing is lost");
        Assert.That(Values(other.Forward(x)), Is.EqualTo(Values(amp.Forward(x))));
    }

    private static Sequential Net() => new(new Linear(3, 8), new ReLU(), new Linear(8, 2));

    private static (double[] Losses, double[] Values) Train(OptLevelOptions options, CaptureMode capture, int steps)
    {
        RandomSource.SetDefaultSeed(3);
        var (x, y) = (Tensor.Uniform([32, 3], -1, 1), Tensor.Uniform([32, 2], 0, 1));
        using var amp = Mezzo.Amp.Initialize(Net(), options);
        using var adam = new Adam(amp.Parameters(), lr: 0.01, eps: 1e-4);
        using var trainer = new Trainer(adam, new TrainerOptions { Precision = options.Precision, Scaler = amp.Scaler, Capture = capture });
        var history = trainer.Run(() => Losses.Mse(amp.Forward(x), y), steps);
        return ([.. history.Steps.Select(step => step.Loss)], [.. amp.Parameters().SelectMany(Values)]);
    }

    private sealed class Passing : Module<(Tensor, Tensor), (Tensor, Tensor)>
    {
        public override (Tensor, Tensor) Forward((Tensor, Tensor) input) => input;
    }
}
