// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Amp;

/// <summary>What a step says of its gradients, and what the scale does about NaN that it cannot cure.</summary>
internal sealed class DiagnosisTests : TensorFixture
{
    private Pair _pair = null!;
    private Parameter _first = null!;
    private Parameter _second = null!;
    private Sgd _sgd = null!;

    [SetUp]
    public void MakeParameters()
    {
        _pair = new Pair();
        (_first, _second) = (_pair.First, _pair.Second);
        _first.Fill(1);
        _second.Fill(1);
        _sgd = new Sgd(_pair.Parameters(), new SgdOptions { LearningRate = 0.5 });
    }

    [TearDown]
    public void Free()
    {
        _sgd.Dispose();
        _pair.Dispose();
    }

    [Test]
    public void Step_WithInfAndNaN_NamesTheFirstParameterAndCounts()
    {
        var scaler = new GradScaler(initScale: 4);
        var result = Step(scaler, [1, 0], [double.NegativeInfinity, double.NaN, double.PositiveInfinity]);
        Assert.That(result.Reason, Is.EqualTo(SkipReason.NonFiniteGradients));
        Assert.That(result.Gradients, Is.EqualTo(new GradientSummary(null, Infs: 2, NaNs: 1, Zeros: 1, LargestExponent: 2, "pair.second")));
        Assert.That(scaler.GetScale(), Is.EqualTo(2));
    }

    [Test]
    public void ReadGradients_TellsOfEachParameter()
    {
        Assert.That(_sgd.ReadGradients(), Is.Empty);
        OptimizerSteps.Backward(_first, [3, 4]);
        OptimizerSteps.Backward(_second, [double.NaN, 0, double.PositiveInfinity]);
        var gradients = _sgd.ReadGradients();
        Assert.That(gradients.Select(gradient => gradient.Parameter), Is.EqualTo(new[] { _first, _second }));
        Assert.That(gradients[0].Gradient, Is.EqualTo(new GradientSummary(5, 0, 0, 0, LargestExponent: 2, null)));
        Assert.That(gradients[1].Gradient with { Norm = null }, Is.EqualTo(new GradientSummary(null, Infs: 1, NaNs: 1, Zeros: 1, null, "pair.second")));
    }

    [Test]
    public void Step_ThatIsClean_SaysNothing_UnlessGradientsAreMeasured()
    {
        var scaler = new GradScaler(initScale: 4);
        Assert.That(Step(scaler, [1, 0], [2, 2, 0]).Gradients, Is.Null);
        _sgd.MeasuresGradients = true;
        Assert.That(Step(scaler, [1, 0], [2, 2, 0]).Gradients, Is.EqualTo(new GradientSummary(3, 0, 0, Zeros: 2, LargestExponent: 3, null)));
        Assert.That(Step(scaler, [0, 0], [0, 0, 0]).Gradients, Is.EqualTo(new GradientSummary(0, 0, 0, Zeros: 5, LargestExponent: null, null)));
        _sgd.ZeroGrad();
        OptimizerSteps.Backward(scaler.Scale(_second), [3, 0, double.NaN]);
        Assert.That(scaler.Step(_sgd).Gradients!.Value.FirstNonFinite, Is.EqualTo("pair.second"), "counted among those that have a gradient");
    }

    [Test]
    public void Scale_IsKept_WhereTheLossIsNaN()
    {
        var scaler = new GradScaler(initScale: 1024, growthInterval: 2);
        for (int step = 0; step < 5; step++)
        {
            _sgd.ZeroGrad();
            scaler.Scale((_first.Sum() + _second.Sum()) * double.NaN).Backward();
            scaler.Step(_sgd);
            scaler.Update();
        }

        Assert.That((scaler.GetScale(), scaler.GetGrowthTracker()), Is.EqualTo((1024.0, 0)));
        Assert.That(Step(scaler, [double.NaN, 1], [1, 1, 1]).Reason, Is.EqualTo(SkipReason.NonFiniteGradients));
        Assert.That(scaler.GetScale(), Is.EqualTo(512), "the loss of that step was finite");
    }

    [Test]
    public void Scale_ThatDoesNotScaleUp_IsKept_WhereGradientsAreNaNAlone([Values] bool keeps)
    {
        var scaler = new GradScaler(ScalerPolicy.Torch with { InitScale = 8, KeepsScaleOnNaN = keeps });
        double[] scales = [.. Enumerable.Range(0, 6).Select(_ =>
        {
            Step(scaler, [double.NaN, 1], [1, 1, 1]);
            return scaler.GetScale();
        })];
        Assert.That(scales, Is.EqualTo(keeps ? [4, 2, 1, 1, 1, 1] : new[] { 4, 2, 1, 0.5, 0.25, 0.125 }));
        Step(scaler, [double.NaN, double.PositiveInfinity], [1, 1, 1]);
        Assert.That(scaler.GetScale(), Is.EqualTo(keeps ? 0.5 : 0.0625), "an overflow is cured by a lower scale yet");
    }

    [Test]
    public void Trainer_SaysWhyAndWhere([Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode)
    {
        RandomSource.SetDefaultSeed(3);
        var study = new LineStudy();
        study.Optimizer.MeasuresGradients = true;
        using var trainer = study.Trainer(new TrainerOptions { Precision = Precision.Float16, Scaler = new GradScaler(initScale: 16), Capture = mode, ReadEvery = 4 });
        var history = trainer.Run(study.Loss, 8);
        Assert.That(history.Steps.Select(step => step.Gradients!.Value.Norm), Is.All.GreaterThan(0));
        Assert.That(history.Steps.Select(step => step.Gradients!.Value.FirstNonFinite), Is.All.Null);

        study.X.Fill(double.NaN);
        var bad = trainer.Run(study.Loss, 6).Steps;
        Assert.That(bad.Select(step => (step.Reason, step.Scale, step.Gradients!.Value.FirstNonFinite)), Is.All.EqualTo((SkipReason.NotANumber, 16.0, "0.weight")));
    }

    [Test]
    public void Trainer_AfterAStepThatFailed_ForgetsItsLoss()
    {
        var study = new LineStudy();
        using var trainer = study.Trainer(new TrainerOptions { Precision = Precision.Float16, Scaler = new GradScaler(initScale: 16), Capture = CaptureMode.Off });
        trainer.Step(study.Loss);
        var weight = study.Model.Parameters().First();
        Assert.That(
            () => trainer.Step(
                (x, _) => x.Shape[0] == 2 ? throw new InvalidDataException() : study.Loss() * double.NaN,
                [(study.X, study.Target), (study.X.Slice(0, 2), study.Target)]),
            Throws.TypeOf<InvalidDataException>(),
            "in the second micro-batch, after a loss that was NaN");

        // A finite loss whose gradients are NaN alone, as an overflow may leave them.
        var result = trainer.Step(() => study.Loss() + Operation.Apply(new NaNBackwards(), weight).Sum().To(DType.Float32));
        Assert.That((result.Reason, result.Gradients!.Value.Infs, trainer.Scaler.GetScale()), Is.EqualTo((SkipReason.NonFiniteGradients, 0L, 8.0)));
    }

    private ScalerStepResult Step(GradScaler scaler, double[] first, double[] second)
    {
        _sgd.ZeroGrad();
        OptimizerSteps.Backward(scaler.Scale(_first), first);
        OptimizerSteps.Backward(scaler.Scale(_second), second);
        var result = scaler.Step(_sgd);
        scaler.Update();
        return result;
    }

    /// <summary>0, with a gradient of NaN.</summary>
    private sealed class NaNBackwards : Operation
    {
        public override string Name => "nan_backwards";

        protected override Tensor Forward() => Input(0) * 0;

        protected override void Backward(Tensor gradOutput)
        {
            var gradient = Tensor.AllocateOwned(gradOutput.Shape, gradOutput.DType, gradOutput.Device);
            gradient.Fill(double.NaN);
            AddGradient(0, gradient);
        }
    }

    /// <summary>Two parameters with names.</summary>
    private sealed class Pair : Module
    {
        private readonly Inner _inner;

        public Pair() => _inner = Register("pair", new Inner());

        public Parameter First => _inner.First;

        public Parameter Second => _inner.Second;

        private sealed class Inner : Module
        {
            public Inner() => (First, Second) = (Register("first", new Parameter([2])), Register("second", new Parameter([3])));

            public Parameter First { get; }

            public Parameter Second { get; }
        }
    }
}
