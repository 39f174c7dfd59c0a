// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Modules;

internal sealed class ModuleModeTests : TensorFixture
{
    [Test]
    public void Modules_TrainAtFirst() => Assert.That(new Doubling().IsTraining, Is.True);

    [Test]
    public void Mode_IsThatOfAllModulesInside()
    {
        var leaf = new Doubling();
        var inner = new Sequential(leaf);
        using var model = new Sequential(inner, new ReLU());
        model.Eval();
        Assert.That((model.IsTraining, inner.IsTraining, leaf.IsTraining), Is.EqualTo((false, false, false)));
        inner.Train();
        Assert.That((model.IsTraining, inner.IsTraining, leaf.IsTraining), Is.EqualTo((false, true, true)));
        model.Train(training: false);
        Assert.That((model.IsTraining, inner.IsTraining, leaf.IsTraining), Is.EqualTo((false, false, false)));
        model.Train();
        Assert.That((model.IsTraining, inner.IsTraining, leaf.IsTraining), Is.EqualTo((true, true, true)));
    }

    [Test]
    public void CapturedSteps_FollowTheMode()
    {
        double[][] losses = Array.ConvertAll([CaptureMode.Off, CaptureMode.On], mode =>
        {
            using var layer = new Linear(1, 1, bias: false);
            layer.Weight.Fill(1);
            using var model = new Sequential(layer, new Doubling());
            using var optimizer = new Sgd(model.Parameters(), new SgdOptions { LearningRate = 0 });
            using var trainer = new Trainer(optimizer, new TrainerOptions { Capture = mode, LogEvery = 0 });
            var x = Tensor.Full([1, 1], 1);
            Func<Tensor> loss = () => model.Forward(x).Sum();
            var steps = new List<double>();
            for (int step = 0; step < 15; step++)
            {
                model.Train(step is < 5 or >= 10);
                steps.Add(trainer.Step(loss).Loss);
            }

            Assert.That(trainer.CaptureStatus.State, Is.EqualTo(mode == CaptureMode.On ? CaptureState.Launching : CaptureState.Off));
            return steps.ToArray();
        });
        Assert.That(losses[0], Is.EqualTo(Enumerable.Range(0, 15).Select(step => step is < 5 or >= 10 ? 2.0 : 1.0)));
        Assert.That(losses[1], Is.EqualTo(losses[0]));
    }

    /// <summary>Does something else when it trains.</summary>
    private sealed class Doubling : Module<Tensor, Tensor>
    {
        public override Tensor Forward(Tensor input) => IsTraining ? input * 2 : input;
    }
}
