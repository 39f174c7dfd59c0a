// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Amp;

/// <summary>
/// Each policy against its source: the scales of table D5 of the facts that the policies were written from, which were
/// computed from the sources' formulas, and an oracle that transcribes each source, over long random patterns.
/// </summary>
internal sealed class ScalerPolicyTests : TensorFixture
{
    private const string Pattern = "..X....XX...X.XX.X......";
    private const string TorchTrace = "1024 1024 512 512 512 1024 1024 512 256 256 256 512 256 256 128 64 64 32 32 32 64 64 64 128";

    private Parameter _parameter = null!;
    private Adam _adam = null!;

    private static IEnumerable<TestCaseData> Traces =>
    [
        new(ScalerPolicy.Torch, TorchTrace),
        new(ScalerPolicy.ApexAmp, TorchTrace),
        new(ScalerPolicy.ApexFp16Optimizer, TorchTrace),
        new(ScalerPolicy.DeepSpeed, "1024x6 2048 2048 1024 1024 1024 1024 512 512 256 128 128 64 64 64 64 128 128 128"),
        new(ScalerPolicy.DeepSpeed with { RefillsOnCleanStep = true }, "1024x6 2048 2048 1024x7 512x6 1024 1024 1024"),
        new(ScalerPolicy.DeepSpeed with { Hysteresis = 1 }, "1024 1024 512 512 512 512 1024 512 256 256 256 256 128 128 64 32 32 16 16 16 16 32 32 32"),
        new(ScalerPolicy.Megatron, "1024x5 2048 2048 2048 1024 1024 1024 2048 2048 2048 1024 512 512 256 256 256 512 512 512 1024"),
        new(ScalerPolicy.ApexHysteresis, "1024x5 2048 2048 2048 1024 1024 1024 2048 2048 2048 2048 1024x5 2048 2048 2048 4096"),
    ];

    private static IReadOnlyList<ScalerPolicy> Dynamic => ScalerPolicy.Dynamic;

    [SetUp]
    public void MakeAParameter()
    {
        _parameter = new Parameter([2]);
        _parameter.Fill(1);
        _adam = new Adam([_parameter]);
    }

    [TearDown]
    public void FreeTheParameter()
    {
        _parameter.Dispose();
        _adam.Dispose();
    }

    [TestCaseSource(nameof(Traces))]
    public void Scales_OverAPatternOfOverflows_AreThoseOfTheSource(ScalerPolicy policy, string trace)
    {
        double[] expected = [.. trace.Split(' ').SelectMany(word => word.Split('x') is [var scale, var times]
            ? Enumerable.Repeat(double.Parse(scale), int.Parse(times))
            : [double.Parse(word)])];
        var scaler = new GradScaler(policy with { InitScale = 1024, GrowthInterval = 3 });
        Assert.That(Pattern.Select(step => Iterate(scaler, step == 'X')), Is.EqualTo(expected));
    }

    [TestCaseSource(nameof(Dynamic))]
    public void Scales_OverRandomPatterns_AreThoseOfTheSource(ScalerPolicy policy)
    {
        var random = new Random(17);
        for (int round = 0; round < 12; round++)
        {
            var drawn = policy with { InitScale = Math.Pow(2, random.Next(1, 40)), GrowthInterval = random.Next(1, 7) };
            if (policy.Hysteresis > 1)
            {
                drawn = drawn with { Hysteresis = random.Next(1, 5) };
            }

            if (policy.Name == "deepspeed")
            {
                drawn = drawn with { RefillsOnCleanStep = random.Next(2) == 0, ThrowsAtMinScale = random.Next(2) == 0 };
            }

            double overflows = random.NextDouble() * 0.6;
            var scaler = new GradScaler(drawn);
            var oracle = ScalerOracle.Of(drawn);
            for (int i = 0; i < 100 && oracle.Scale < Math.Pow(2, 120); i++)
            {
                bool overflow = random.NextDouble() < overflows;
                if (!oracle.Update(overflow))
                {
                    Assert.That(() => Iterate(scaler, overflow), Throws.TypeOf<MinimumLossScaleException>());
                    break;
                }

                Assert.That(Iterate(scaler, overflow), Is.EqualTo(oracle.Scale), $"{drawn}, step {i}");
            }
        }
    }

    [Test]
    public void DeepSpeed_AtItsSmallestScale_RaisesInDeepSpeedsWords()
    {
        var scaler = new GradScaler(ScalerPolicy.DeepSpeed);
        double[] scales = [.. Enumerable.Range(1, 17).Select(_ => Iterate(scaler, overflow: true))];
        Assert.That(scales, Is.EqualTo(Enumerable.Range(0, 17).Select(i => 65536 / Math.Pow(2, i))), "the first overflow is forgiven");
        Assert.That(
            () => Iterate(scaler, overflow: true),
            Throws.TypeOf<MinimumLossScaleException>().With.Message.EqualTo("Current loss scale already at minimum - cannot decrease scale anymore. Exiting run."));
        Assert.That(Iterate(scaler, overflow: false), Is.EqualTo(1), "a caller who goes on can");
    }

    [Test]
    public void Trainer_AtTheSmallestScale_GoesOn_WhereThatIsNoError()
    {
        var study = new LineStudy();
        using var trainer = study.Trainer(new TrainerOptions { Scaler = new GradScaler(ScalerPolicy.Megatron with { InitScale = 1, Hysteresis = 1 }) });
        study.Target.Fill(double.PositiveInfinity);
        var steps = trainer.Run(study.Loss, 3).Steps;
        Assert.That(steps.Select(step => (step.Reason, step.Scale)), Is.All.EqualTo((SkipReason.NonFiniteGradients, 1.0)));
    }

    [Test]
    public void Megatron_FallsToItsSmallestScaleAndStays()
    {
        var scaler = new GradScaler(ScalerPolicy.Megatron);
        double[] scales = [.. Enumerable.Range(0, 35).Select(_ => Iterate(scaler, overflow: true))];
        Assert.That((scales[31], scales[32], scales[34]), Is.EqualTo((2.0, 1.0, 1.0)));
    }

    [TestCaseSource(nameof(Dynamic))]
    public void State_SavedAndLoaded_ContinuesTheTrace(ScalerPolicy policy)
    {
        policy = policy with { InitScale = 1024, GrowthInterval = 3 };
        var whole = new GradScaler(policy);
        var first = new GradScaler(policy);
        for (int i = 0; i < Pattern.Length; i++)
        {
            bool overflow = Pattern[i] == 'X';
            var resumed = new GradScaler(policy);
            resumed.LoadStateDict(GradScalerState.FromJson(first.StateDict().ToJson()));
            Assert.That(Iterate(resumed, overflow), Is.EqualTo(Iterate(whole, overflow)), $"resumed before step {i}");
            first = resumed;
        }
    }

    [Test]
    public void State_OfAPolicyThatCountsDifferently_IsRefused()
    {
        var megatron = new GradScaler(ScalerPolicy.Megatron).StateDict();
        Assert.Multiple(() =>
        {
            Assert.That((megatron.HysteresisTracker, megatron.Policy), Is.EqualTo((2, "megatron")));
            Refused(ScalerPolicy.Torch, megatron, "The state's '_policy' is megatron, expected none for a scaler with the policy 'torch': they count differently.");
            Refused(ScalerPolicy.Megatron, new GradScaler().StateDict(), "The state's '_policy' is none, as PyTorch's, expected megatron for a scaler");
            Refused(ScalerPolicy.DeepSpeed, megatron, "The state's '_policy' is megatron, expected deepspeed for a scaler");
            Refused(ScalerPolicy.DeepSpeed with { Hysteresis = 1 }, new GradScaler(ScalerPolicy.DeepSpeed).StateDict(), "The state has the key '_hysteresis_tracker', but");
            Refused(ScalerPolicy.Megatron, megatron with { HysteresisTracker = null }, "The state of the GradScaler lacks the key '_hysteresis_tracker'.");
            Assert.That(() => new GradScaler(ScalerPolicy.ApexAmp).LoadStateDict(new GradScaler().StateDict()), Throws.Nothing, "they count alike");
        });

        static void Refused(ScalerPolicy policy, GradScalerState state, string message) =>
            Assert.That(() => new GradScaler(policy).LoadStateDict(state), Throws.ArgumentException.With.Message.StartsWith(message));
    }

    [Test]
    public void Numbers_OutOfRange_AreRefused()
    {
        var policy = ScalerPolicy.Torch;
        Assert.Multiple(() =>
        {
            Refused(() => policy with { InitScale = 0 }, "The loss scale must be finite and > 0.0 in f32.");
            Refused(() => policy with { MaxScale = double.NaN }, "The loss scale must be finite and > 0.0 in f32.");
            Refused(() => policy with { MinScale = -1 }, "The loss scale must be finite and > 0.0 in f32.");
            Refused(() => policy with { MinScale = 1e-50 }, "The loss scale must be finite and > 0.0 in f32.");
            Refused(() => policy with { MaxScale = 1e39 }, "The loss scale must be finite and > 0.0 in f32.");
            Assert.That(
                () => new GradScaler(policy with { MinScale = 2, MaxScale = 1 }),
                Throws.ArgumentException.With.Message.StartsWith("The policy's MaxScale is 1, expected at least its MinScale, 2."));
            Refused(() => policy with { Hysteresis = 0 }, "The hysteresis must be at least 1.");
            Refused(() => ScalerPolicy.Static(double.PositiveInfinity), "The loss scale must be finite and > 0.0 in f32.");
        });

        static void Refused(Func<ScalerPolicy> make, string message) =>
            Assert.That(() => make(), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.StartsWith(message));
    }

    [Test]
    public void Trainer_AtDeepSpeedsSmallestScale_ReportsTheStepAndThrows([Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode)
    {
        var factor = Tensor.Full([2], 1);
        var skipped = new List<SkipReason>();
        using var trainer = new Trainer(_adam, new TrainerOptions
        {
            Precision = Precision.Float16,
            Scaler = new GradScaler(ScalerPolicy.DeepSpeed with { InitScale = 2 }),
            Capture = mode,
        });
        Func<Tensor> loss = () => Losses.Mse(_parameter, factor);
        trainer.Run(loss, 4);
        factor.Fill(double.PositiveInfinity);
        Assert.That(
            () => trainer.Run(loss, 10, new SynchronousProgress(step => skipped.Add(step.Reason))),
            Throws.TypeOf<MinimumLossScaleException>());
        Assert.That(skipped, Is.EqualTo(new[] { SkipReason.NonFiniteGradients, SkipReason.NonFiniteGradients, SkipReason.ScaleAtMinimum }));
    }

    [Test]
    public void Trainer_WhoseResultsAreReadTogether_ThrowsToo_AndGoesOn()
    {
        var factor = Tensor.Full([2], 1);
        using var trainer = new Trainer(_adam, new TrainerOptions
        {
            Precision = Precision.Float16,
            Scaler = new GradScaler(ScalerPolicy.DeepSpeed with { InitScale = 2 }),
            Capture = CaptureMode.On,
            ReadEvery = 8,
        });
        Func<Tensor> loss = () => Losses.Mse(_parameter, factor);
        trainer.Run(loss, 4);
        factor.Fill(double.PositiveInfinity);
        Assert.That(() => trainer.Run(loss, 16), Throws.TypeOf<MinimumLossScaleException>());
        factor.Fill(1);
        Assert.That(trainer.Run(loss, 1).Steps[0].Outcome, Is.EqualTo(StepOutcome.Applied));
    }

    /// <summary>One iteration, and the scale after it.</summary>
    private double Iterate(GradScaler scaler, bool overflow)
    {
        _adam.ZeroGrad();
        scaler.Scale(_parameter.Sum() * (overflow ? double.PositiveInfinity : 1)).Backward();
        scaler.Step(_adam);
        scaler.Update();
        return scaler.GetScale();
    }
}
