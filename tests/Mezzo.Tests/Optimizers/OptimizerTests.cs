// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Optimizers;

/// <summary>What optimizers have in common: groups, clipping, and bad arguments.</summary>
internal sealed class OptimizerTests : TensorFixture
{
    [Test]
    public void Groups_ByName_JoinEqualOptions()
    {
        string[] noDecay = ["bias", "LayerNorm.weight"];
        using var model = new Sequential(new Linear(2, 3), new ReLU(), new Linear(3, 1));
        var decayed = AdamOptions.AdamW with { LearningRate = 5e-5 };
        using var adam = new Adam(model, name => noDecay.Any(name.Contains) ? decayed with { WeightDecay = 0 } : decayed);
        var named = model.NamedParameters().ToDictionary(pair => pair.Parameter, pair => pair.Name);
        Assert.That(
            adam.Groups.Select(group => (group.Options.WeightDecay, string.Join(' ', group.Parameters.Select(p => named[p])))),
            Is.EqualTo([(0.01, "0.weight 2.weight"), (0, "0.bias 2.bias")]));
        Assert.That(adam.Parameters, Has.Count.EqualTo(4));
    }

    [Test]
    public void Groups_WithoutOptions_LeaveTheirParametersOut()
    {
        using var model = new Sequential(new Linear(2, 3), new Linear(3, 1));
        using var sgd = new Sgd(model, name => name.StartsWith('1') ? new SgdOptions { LearningRate = 1 } : null);
        var before = model.Parameters().Select(OptimizerSteps.Values).ToArray();
        model.Forward(Tensor.Full([4, 2], 1)).Sum().Backward();
        sgd.Step();
        var after = model.Parameters().Select(OptimizerSteps.Values).ToArray();
        Assert.That(after[..2], Is.EqualTo(before[..2]));
        Assert.That(after[3], Is.Not.EqualTo(before[3]));
    }

    [Test]
    public void Groups_HaveLearningRatesAndSchedulesOfTheirOwn()
    {
        var (first, second) = (Parameter(1), Parameter(1));
        using var sgd = new Sgd([([first], new SgdOptions { LearningRate = 1 }), ([second], new SgdOptions { LearningRate = 0.5 })]);
        sgd.Groups[1].Schedule = new StepSchedule(1, 0.5);
        for (int step = 0; step < 3; step++)
        {
            sgd.ZeroGrad();
            OptimizerSteps.Backward(first, [1]);
            OptimizerSteps.Backward(second, [1]);
            sgd.Step();
        }

        Assert.That((OptimizerSteps.Values(first)[0], OptimizerSteps.Values(second)[0]), Is.EqualTo((-2.0, 1 - 0.5 - 0.25 - 0.125)));
        Assert.That((sgd.Groups[0].LearningRate, sgd.Groups[1].NextLearningRate), Is.EqualTo((1.0, 0.0625)));
        Assert.That(() => sgd.LearningRate = 0.25, Throws.InvalidOperationException.With.Message.Contains("learning rates of their own"));
        sgd.Groups[1].LearningRate = 1;
        sgd.LearningRate *= 0.25;
        Assert.That(sgd.Groups.Select(group => group.LearningRate), Is.All.EqualTo(0.25));
    }

    [Test]
    public void Clipping_ByTheNormOfAll_ScalesAllGroupsAlike([Values] bool scaled)
    {
        var (first, second) = (Parameter(0, 0), Parameter(0));
        var options = new SgdOptions { LearningRate = 1, Clipping = GradientClipping.ByNorm(2) };
        using var sgd = new Sgd([([first], options), ([second], options with { WeightDecay = 0.5 })]);
        var scaler = new GradScaler(scaled ? ScalerPolicy.Torch : ScalerPolicy.Disabled);
        OptimizerSteps.Backward(scaler.Scale(first), [2, 4]);
        OptimizerSteps.Backward(scaler.Scale(second), [4]); // norm 6
        scaler.Step(sgd);
        double coefficient = 2 / (6 + 1e-6);
        Assert.That(OptimizerSteps.Values(first), Is.EqualTo([-2 * coefficient, -4 * coefficient]).Within(1e-15));
        Assert.That(OptimizerSteps.Values(second), Is.EqualTo([-4 * coefficient]).Within(1e-15));
        Assert.That(OptimizerSteps.Values(sgd.GradNorm!), Is.EqualTo([6.0]).Within(1e-14));
    }

    [Test]
    public void Clipping_ByNormAndValue_ClipsByNormFirst()
    {
        var parameter = Parameter(0, 0);
        using var sgd = new Sgd([parameter], new SgdOptions { LearningRate = 1, Clipping = GradientClipping.ByNorm(1).AndByValue(0.7) });
        OptimizerSteps.Backward(parameter, [3, -4]);
        sgd.Step();
        Assert.That(OptimizerSteps.Values(parameter), Is.EqualTo([-0.6, 0.7]).Within(1e-6));
        Assert.That(parameter.Grad!.ToArray<double>(), Is.EqualTo([3.0, -4.0]), "the gradients are left as they are");
    }

    [Test]
    public void Clipping_ThatFindsInf_SkipsTheStep([Values] ClippingScope of)
    {
        var (bad, good) = (Parameter(1, 2), Parameter(3));
        var clipped = new SgdOptions { Clipping = GradientClipping.ByNorm(1, of) };
        using var sgd = new Sgd([([good], new SgdOptions()), ([bad], clipped)]);
        var scaler = new GradScaler();
        foreach (double factor in new[] { double.PositiveInfinity, double.NaN })
        {
            sgd.ZeroGrad();
            OptimizerSteps.Backward(scaler.Scale(bad), [1, factor]);
            OptimizerSteps.Backward(scaler.Scale(good), [1]);
            Assert.That(scaler.Step(sgd).Reason, Is.EqualTo(SkipReason.NonFiniteGradients));
            scaler.Update();
        }

        Assert.That(OptimizerSteps.Values(bad).Concat(OptimizerSteps.Values(good)), Is.EqualTo([1.0, 2, 3]));
        Assert.That(scaler.GetScale(), Is.EqualTo(16384));
    }

    [Test]
    public void Clipping_ByParameter_FollowsWhichParametersHaveGradients()
    {
        var parameters = Enumerable.Range(0, 3).Select(_ => Parameter(0)).ToArray();
        using var sgd = new Sgd(parameters, new SgdOptions { LearningRate = 1, Clipping = GradientClipping.ByNorm(1, ClippingScope.Parameter) });
        foreach (int[] present in new int[][] { [0, 1, 2], [2], [0, 2] })
        {
            sgd.ZeroGrad();
            Array.ForEach(present, i => OptimizerSteps.Backward(parameters[i], [i == 2 ? 8 : 0.5]));
            sgd.Step();
        }

        double[] values = [.. parameters.Select(parameter => OptimizerSteps.Values(parameter)[0])];
        Assert.That(values, Is.EqualTo([-1, -0.5, -3 * 8 / (8 + 1e-6)]).Within(1e-14));
    }

    [Test]
    public void Constructors_WithBadArguments_NameThem()
    {
        var parameter = Parameter(0);
        Assert.Multiple(() =>
        {
            Assert.That(() => new Sgd([([parameter], new SgdOptions()), ([], new SgdOptions())]), Throws.ArgumentException.With.Message.Contains("empty parameter list"));
            Assert.That(() => new Sgd([([parameter], new SgdOptions()), ([parameter], new SgdOptions())]), Throws.ArgumentException.With.Message.Contains("twice"));
            Assert.That(() => new Sgd([([parameter], null!)]), Throws.ArgumentNullException);
            Assert.That(() => new Sgd([(null!, new SgdOptions())]), Throws.ArgumentNullException);
            Assert.That(() => new Sgd([parameter], new SgdOptions { Nesterov = true }), Throws.ArgumentException.With.Message.Contains("Nesterov momentum requires a momentum and zero dampening"));
            Assert.That(() => new Sgd(null!, _ => new SgdOptions()), Throws.ArgumentNullException);
            Assert.That(() => new SgdOptions { Momentum = 1 }, Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(() => new SgdOptions { Dampening = -1 }, Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(() => GradientClipping.ByNorm(0), Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(() => GradientClipping.ByNorm(1, (ClippingScope)7), Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(() => GradientClipping.ByValue(double.PositiveInfinity), Throws.TypeOf<ArgumentOutOfRangeException>());
        });
    }

    private static Parameter Parameter(params double[] values)
    {
        var parameter = new Parameter([values.Length], DType.Float64);
        parameter.Write<double>(values);
        return parameter;
    }
}
