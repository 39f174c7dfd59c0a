// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Amp;

/// <summary>Scaled gradients, unscaled gradients, a step: what types allow, and what throws where they cannot tell.</summary>
internal sealed class GradientPhasesTests : TensorFixture
{
    private Parameter _parameter = null!;
    private Sgd _sgd = null!;
    private GradScaler _scaler = null!;

    [SetUp]
    public void Make()
    {
        _parameter = new Parameter([2], DType.Float64);
        _parameter.Fill(1);
        _sgd = new Sgd([_parameter], new SgdOptions { LearningRate = 0.5 });
        _scaler = new GradScaler(initScale: 8, growthInterval: 1);
    }

    [TearDown]
    public void Free()
    {
        _sgd.Dispose();
        _parameter.Dispose();
    }

    [Test]
    public void Step_OnScaledGradients_UnscalesAndUpdates()
    {
        var result = Backward(3).Step();
        Assert.That((result.Outcome, result.Scale, _scaler.GetScale()), Is.EqualTo((StepOutcome.Applied, 8.0, 16.0)));
        Assert.That(Values(_parameter), Is.EqualTo([-0.5, -0.5]));
        Assert.That(Backward(double.PositiveInfinity).Step().Reason, Is.EqualTo(SkipReason.NonFiniteGradients));
        Assert.That(_scaler.GetScale(), Is.EqualTo(8));
    }

    [Test]
    public void UnscaledGradients_CanBeLookedAtClippedAndApplied([Values] ClippingScope scope)
    {
        var gradients = Backward(3).Unscale();
        Assert.That(Values(_parameter.Grad!), Is.EqualTo([3.0, 3.0]));
        Assert.That(gradients.Norm, Is.EqualTo(Math.Sqrt(18)).Within(1e-14));
        Assert.That(gradients.Clip(GradientClipping.ByNorm(1, scope)).Step().Outcome, Is.EqualTo(StepOutcome.Applied));
        double step = 0.5 * 3 / (Math.Sqrt(18) + 1e-6);
        Assert.That(Values(_parameter), Is.EqualTo([1 - step, 1 - step]).Within(1e-14));
        Backward(2).Step();
        Assert.That(Values(_parameter), Is.EqualTo([-step, -step]).Within(1e-14), "clipping was for one step");
    }

    [Test]
    public void Clip_TakesThePlaceOfTheOptions()
    {
        using var sgd = new Sgd([_parameter], new SgdOptions { LearningRate = 1, Clipping = GradientClipping.ByValue(0.25) });
        _scaler.Backward(_parameter.Sum() * 3, sgd).Unscale().Clip(GradientClipping.ByValue(0.5)).Step();
        Assert.That(Values(_parameter), Is.EqualTo([0.5, 0.5]));
        sgd.ZeroGrad();
        _scaler.Backward(_parameter.Sum() * 3, sgd).Step();
        Assert.That(Values(_parameter), Is.EqualTo([0.25, 0.25]));
    }

    [Test]
    public void Phases_InTheWrongOrder_Throw()
    {
        var scaled = Backward(3);
        var unscaled = scaled.Unscale();
        Assert.That(scaled.Unscale, Throws.InvalidOperationException.With.Message.Contains("unscale_() has already been called"));
        Assert.That(scaled.Step, Throws.InvalidOperationException.With.Message.Contains("step with what Unscale() returned"));
        unscaled.Step();
        Assert.That(unscaled.Step, Throws.InvalidOperationException.With.Message.Contains("an iteration that is over"));
        Assert.That(scaled.Step, Throws.InvalidOperationException.With.Message.Contains("an iteration that is over"));
        Assert.That(scaled.Unscale, Throws.InvalidOperationException.With.Message.Contains("an iteration that is over"));
        Assert.That(() => _scaler.Backward(null!, _sgd), Throws.ArgumentNullException);
        Assert.That(() => _scaler.Backward(_parameter.Sum(), null!), Throws.ArgumentNullException);
    }

    [Test]
    public void Step_OfASecondOptimizer_AfterTheScaleWasUpdated_Throws()
    {
        var other = new Parameter([1]);
        other.Fill(1);
        using var sgd = new Sgd([other]);
        var (first, second) = (Backward(3), _scaler.Backward(other.Sum(), sgd));
        first.Step();
        Assert.That(second.Step, Throws.InvalidOperationException.With.Message.Contains("Several optimizers"));
    }

    [Test]
    public void Step_AfterAScaledLossWasAddedToUnscaledGradients_Throws()
    {
        var unscaled = Backward(3).Unscale();
        _scaler.Scale(_parameter.Sum()).Backward();
        Assert.That(unscaled.Step, Throws.InvalidOperationException.With.Message.Contains("a sum of scaled and unscaled ones"));
    }

    [Test]
    public void Step_OnNaNThatNoScaleCures_SaysSo()
    {
        Assert.That(Backward(double.NaN).Step().Reason, Is.EqualTo(SkipReason.NotANumber));
        Assert.That(_scaler.GetScale(), Is.EqualTo(8));
    }

    [Test]
    public void OptimizerStep_AfterALaunch_KnowsThatGradientsAreScaled()
    {
        _scaler.Scale(_parameter.Sum()).Backward();
        _sgd.ZeroGrad();
        using var graph = Graph.Capture(() => _scaler.Scale(_parameter.Sum() * 2).Backward(), TestDevice.Current);
        graph.Launch();
        Assert.That(_sgd.Step, Throws.InvalidOperationException.With.Message.Contains("is multiplied by the loss scale"));
        _sgd.ZeroGrad();
        graph.Launch();
        Assert.That(_sgd.Step, Throws.InvalidOperationException);
        _scaler.Unscale(_sgd);
        Assert.That(_sgd.Step, Throws.Nothing);
    }

    [Test]
    public void OptimizerStep_OnScaledGradients_Throws_UntilTheyAreUnscaledOrCleared()
    {
        _scaler.Scale(_parameter.Sum() * 3).Backward();
        Assert.That(_sgd.Step, Throws.InvalidOperationException.With.Message.Contains("is multiplied by the loss scale"));
        Assert.That(Values(_parameter), Is.EqualTo([1.0, 1.0]));
        _scaler.Unscale(_sgd);
        Assert.That(_sgd.Step, Throws.Nothing);
        Assert.That(Values(_parameter), Is.EqualTo([-0.5, -0.5]));

        _scaler.Update();
        (_scaler.Scale(_parameter.Sum()) * 0.5).Backward(); // also where the scaled loss is not what was differentiated
        Assert.That(_sgd.Step, Throws.InvalidOperationException);
        _sgd.ZeroGrad();
        _parameter.Sum().Backward();
        Assert.That(_sgd.Step, Throws.Nothing);
    }

    [Test]
    public void OptimizerStep_WithADisabledScaler_IsAsEver()
    {
        var scaler = new GradScaler(ScalerPolicy.Disabled);
        scaler.Scale(_parameter.Sum()).Backward();
        Assert.That(_sgd.Step, Throws.Nothing);
        _sgd.ZeroGrad();
        Assert.That(scaler.Backward(_parameter.Sum(), _sgd).Unscale().Step().Outcome, Is.EqualTo(StepOutcome.Applied));
        Assert.That(Values(_parameter), Is.EqualTo([0.0, 0.0]));
    }

    private ScaledGradients Backward(double slope)
    {
        _sgd.ZeroGrad();
        return _scaler.Backward(_parameter.Sum() * slope, _sgd);
    }
}
