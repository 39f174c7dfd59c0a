// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Amp;

internal sealed class GradScalerTests : TensorFixture
{
    private Linear _layer = null!;
    private Adam _adam = null!;

    [SetUp]
    public void MakeAModel()
    {
        _layer = new Linear(3, 2);
        _adam = new Adam(_layer.Parameters(), lr: 0.1);
    }

    [TearDown]
    public void FreeTheModel()
    {
        _layer.Dispose();
        _adam.Dispose();
    }

    [Test]
    public void Scale_OverAPatternOfOverflows_FollowsPyTorchsTrace()
    {
        const string Pattern = "..X....XX...X.XX.X......";
        double[] expected =
            [1024, 1024, 512, 512, 512, 1024, 1024, 512, 256, 256, 256, 512, 256, 256, 128, 64, 64, 32, 32, 32, 64, 64, 64, 128];
        var scaler = new GradScaler(initScale: 1024, growthInterval: 3);
        Assert.That(Pattern.Select(c => Iterate(scaler, overflow: c == 'X').Scale), Is.EqualTo(expected));
    }

    [Test]
    public void Scale_OverRandomPatterns_FollowsAnIndependentOracle()
    {
        var random = new Random(5);
        for (int round = 0; round < 20; round++)
        {
            int interval = random.Next(1, 6);
            var (growth, backoff) = (1 + random.NextDouble() * 3, 0.1 + random.NextDouble() * 0.8);
            var scaler = new GradScaler(initScale: 1000, growth, backoff, interval);
            var (scale, clean) = (1000f, 0);
            for (int i = 0; i < 60; i++)
            {
                bool overflow = random.Next(4) == 0;
                Iterate(scaler, overflow);
                (scale, clean) = overflow ? ((float)(scale * backoff), 0)
                    : clean + 1 == interval ? ((float)(scale * growth), 0)
                    : (scale, clean + 1);
                Assert.That((scaler.GetScale(), scaler.GetGrowthTracker()), Is.EqualTo(((double)scale, clean)));
            }
        }
    }

    [Test]
    public void Scale_ThatWouldOverflowF32_StopsGrowing()
    {
        var scaler = new GradScaler(initScale: Math.Pow(2, 127), growthInterval: 1);
        Iterate(scaler, overflow: false, factor: 0);
        Assert.That((scaler.GetScale(), scaler.GetGrowthTracker()), Is.EqualTo((Math.Pow(2, 127), 0)));
    }

    [Test]
    public void Step_WithInfOrNaN_LeavesParametersAndMomentsAlone([Values(float.NaN, float.PositiveInfinity, float.NegativeInfinity)] float bad)
    {
        var scaler = new GradScaler();
        Iterate(scaler, overflow: false);
        string before = Bits(_layer.Weight) + Bits(_layer.Bias!);
        var result = Iterate(scaler, overflow: true, bad: bad);
        Assert.Multiple(() =>
        {
            Assert.That((result.Outcome, result.Reason), Is.EqualTo((StepOutcome.Skipped, SkipReason.NonFiniteGradients)));
            Assert.That(Bits(_layer.Weight) + Bits(_layer.Bias!), Is.EqualTo(before));
            Assert.That(_adam.StepCount, Is.EqualTo(1));
        });
    }

    [Test]
    public void Step_OfScaledAndOfUnscaledGradients_IsTheSame()
    {
        var x = Tensor.Uniform([4, 3]);
        var twin = new Linear(3, 2);
        twin.CopyParametersFrom(_layer);
        var twinAdam = new Adam(twin.Parameters(), lr: 0.1);
        var (scaler, twinScaler) = (new GradScaler(), new GradScaler());
        for (int i = 0; i < 5; i++)
        {
            _adam.ZeroGrad();
            twinAdam.ZeroGrad();
            scaler.Scale(_layer.Forward(x).Sum()).Backward();
            twinScaler.Scale(twin.Forward(x).Sum()).Backward();
            twinScaler.Unscale(twinAdam);
            Assert.That(twin.Bias!.Grad!.ToArray<float>(), Is.All.EqualTo(4f), "unscaled in place");
            scaler.Step(_adam);
            twinScaler.Step(twinAdam);
            scaler.Update();
            twinScaler.Update();
        }

        Assert.That(Bits(_layer.Weight), Is.EqualTo(Bits(twin.Weight)));
    }

    [Test]
    public void Disabled_IsBitIdenticalToNoScaler()
    {
        var x = Tensor.Uniform([4, 3]);
        var twin = new Linear(3, 2);
        twin.CopyParametersFrom(_layer);
        var twinAdam = new Adam(twin.Parameters(), lr: 0.1);
        var scaler = new GradScaler(enabled: false);
        for (int i = 0; i < 5; i++)
        {
            _adam.ZeroGrad();
            twinAdam.ZeroGrad();
            _layer.Forward(x).Sum().Backward();
            _adam.Step();
            scaler.Scale(twin.Forward(x).Sum()).Backward();
            scaler.Unscale(twinAdam);
            scaler.Step(twinAdam);
            scaler.Update();
        }

        Assert.That(Bits(_layer.Weight), Is.EqualTo(Bits(twin.Weight)));
        Assert.That((scaler.GetScale(), scaler.StateDict()), Is.EqualTo((1.0, GradScalerState.Empty)));
    }

    [Test]
    public void Static_NeverChangesButSkips()
    {
        var scaler = new GradScaler(ScalerPolicy.Static(128));
        Assert.That(Iterate(scaler, overflow: true) with { Gradients = null }, Is.EqualTo(new ScalerStepResult(StepOutcome.Skipped, SkipReason.NonFiniteGradients, 128)));
        Assert.That(Iterate(scaler, overflow: false), Is.EqualTo(new ScalerStepResult(StepOutcome.Applied, SkipReason.None, 128)));
    }

    [Test]
    public void TwoOptimizers_SkipAloneAndShareTheScale()
    {
        var other = new Linear(3, 2);
        var otherAdam = new Adam(other.Parameters());
        var scaler = new GradScaler(initScale: 8);
        scaler.Scale(_layer.Forward(Tensor.Full([1, 3], 1)).Sum()).Backward();
        scaler.Scale(other.Forward(Tensor.Full([1, 3], double.PositiveInfinity)).Sum()).Backward();
        Assert.That(scaler.Step(_adam).Outcome, Is.EqualTo(StepOutcome.Applied));
        Assert.That(scaler.Step(otherAdam).Outcome, Is.EqualTo(StepOutcome.Skipped));
        scaler.Update();
        Assert.That(scaler.GetScale(), Is.EqualTo(4));
    }

    [Test]
    public void Step_WithoutGradients_IsReportedAndChangesNothing()
    {
        var scaler = new GradScaler(growthInterval: 1);
        scaler.Scale(Tensor.Scalar(1f));
        Assert.That(scaler.Step(_adam).Reason, Is.EqualTo(SkipReason.NoGradients));
        Assert.That(() => scaler.Update(), Throws.Nothing);
        Assert.That(scaler.GetScale(), Is.EqualTo(65536), "nothing was checked");
    }

    [Test]
    public void Step_OfParametersThatShareAnIncomingGradient_AppliesBoth()
    {
        var (first, second) = (new Parameter([3]), new Parameter([3]));
        first.Fill(1);
        second.Fill(2);
        using var adam = new Adam([first, second]);
        var scaler = new GradScaler();
        scaler.Scale((first + second).Sum()).Backward();
        Assert.That(scaler.Step(adam).Outcome, Is.EqualTo(StepOutcome.Applied));
        first.Grad!.Fill(0);
        Assert.That(second.Grad!.ToArray<float>(), Is.All.EqualTo(65536f));
    }

    [Test]
    public void State_OfACollapsedScale_CanBeLoaded()
    {
        var scaler = new GradScaler();
        scaler.LoadStateDict(scaler.StateDict() with { Scale = 0 });
        Assert.That(scaler.GetScale(), Is.Zero);
    }

    [Test]
    public void Misuse_IsRefusedInPyTorchsWords()
    {
        var scaler = new GradScaler();
        Assert.Multiple(() =>
        {
            Refused(() => scaler.Step(_adam), "Attempted Step but _scale is None.");
            Refused(() => scaler.Unscale(_adam), "Attempted Unscale but _scale is None.");
            Refused(() => scaler.Update(), "Attempted Update but _scale is None.");
            Gradient(scaler, 1);
            Refused(() => scaler.Update(), "No inf checks were recorded prior to update.");
            scaler.Unscale(_adam);
            Refused(() => scaler.Unscale(_adam), "unscale_() has already been called on this optimizer since the last update().");
            scaler.Step(_adam);
            Refused(() => scaler.Unscale(_adam), "unscale_() is being called after step().");
            Refused(() => scaler.Step(_adam), "step() has already been called since the last update().");
            scaler.Update();
            Assert.That(() => scaler.Unscale(_adam), Throws.Nothing, "ready for the next iteration");
        });

        static void Refused(Action call, string message) => Assert.That(call, Throws.InvalidOperationException.With.Message.StartsWith(message));
    }

    [TestCase(0, 2, 0.5, 1, "The loss scale must be finite and > 0.0")]
    [TestCase(1e39, 2, 0.5, 1, "The loss scale must be finite and > 0.0 in f32.")]
    [TestCase(double.NaN, 2, 0.5, 1, "The loss scale must be finite and > 0.0")]
    [TestCase(1, 1, 0.5, 1, "The growth factor must be > 1.0.")]
    [TestCase(1, 2, 1, 1, "The backoff factor must be > 0.0 and < 1.0.")]
    [TestCase(1, 2, 0.5, 0, "The growth interval must be at least 1.")]
    public void Constructor_OutOfRange_IsRefused(double scale, double growth, double backoff, int interval, string message) => Assert.That(
        () => new GradScaler(scale, growth, backoff, interval), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.StartsWith(message));

    [Test]
    public void Update_WithANewScale_LeavesTheTrackerAlone()
    {
        var scaler = new GradScaler();
        Iterate(scaler, overflow: false);
        scaler.Update(32);
        Assert.That((scaler.GetScale(), scaler.GetGrowthTracker()), Is.EqualTo((32.0, 1)));
    }

    [Test]
    public void State_SavedAndLoaded_ContinuesTheTrace()
    {
        var scaler = new GradScaler(initScale: 64, growthInterval: 3);
        Iterate(scaler, overflow: false);
        Iterate(scaler, overflow: false);
        string json = scaler.StateDict().ToJson();
        Assert.That(json, Is.EqualTo("""{"scale":64,"growth_factor":2,"backoff_factor":0.5,"growth_interval":3,"_growth_tracker":2}"""));
        var resumed = new GradScaler();
        resumed.LoadStateDict(GradScalerState.FromJson(json));
        Iterate(resumed, overflow: false);
        Assert.That((resumed.GetScale(), resumed.GetGrowthTracker()), Is.EqualTo((128.0, 0)));
    }

    [Test]
    public void State_OfADisabledScaler_IsRefusedInPyTorchsWords()
    {
        var state = GradScalerState.FromJson(new GradScaler(enabled: false).StateDict().ToJson());
        Assert.That(
            () => new GradScaler().LoadStateDict(state),
            Throws.InvalidOperationException.With.Message.EqualTo(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."));
    }

    [TestCase("""{"scale":64}""", "growth_factor")]
    [TestCase("""{"scale":64,"growth_factor":0.5,"backoff_factor":0.5,"growth_interval":3,"_growth_tracker":2}""", "growth factor")]
    [TestCase("""{"scale":64,"growth_factor":2,"backoff_factor":0.5,"growth_interval":3,"_growth_tracker":-2}""", "_growth_tracker")]
    public void State_ThatDoesNotFit_ChangesNothing(string json, string named)
    {
        var scaler = new GradScaler(initScale: 2);
        Assert.That(() => scaler.LoadStateDict(GradScalerState.FromJson(json)), Throws.InstanceOf<ArgumentException>().With.Message.Contains(named));
        Assert.That(scaler.StateDict(), Is.EqualTo(new GradScaler(initScale: 2).StateDict()));
    }

    private void Gradient(GradScaler scaler, double input)
    {
        _adam.ZeroGrad();
        scaler.Scale(_layer.Forward(Tensor.Full([1, 3], input)).Sum()).Backward();
    }

    /// <summary>One iteration; the result carries the scale after the update.</summary>
    private ScalerStepResult Iterate(GradScaler scaler, bool overflow, float bad = float.PositiveInfinity, double factor = 1)
    {
        Gradient(scaler, overflow ? bad : factor);
        var result = scaler.Step(_adam);
        scaler.Update();
        return result with { Scale = scaler.GetScale() };
    }
}
