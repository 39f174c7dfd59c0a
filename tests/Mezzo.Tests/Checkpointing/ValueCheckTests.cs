// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Checkpointing;

/// <summary><see cref="Checkpoint.CheckValuesEvery"/>: finds the op that computes something else the second time.</summary>
[NonParallelizable]
internal sealed class ValueCheckTests : TensorFixture
{
    [TearDown]
    public void SwitchOff() => Checkpoint.CheckValuesEvery = 0;

    [Test]
    public void Op_ThatIsNotDeterministic_IsNamed_WhereItIsLookedFor([Values(0, 1)] int every)
    {
        Checkpoint.CheckValuesEvery = every;
        var input = Gradients.IrregularTensor(1, 4);
        input.RequiresGrad = true;
        var output = Checkpoint.Run(x => Operation.Apply(new Drifting(), x.Tanh()).Tanh().Sigmoid(), input);
        if (every == 0)
        {
            Assert.That(() => output.Sum().Backward(), Throws.Nothing);
        }
        else
        {
            Assert.That(
                () => output.Sum().Backward(),
                Throws.InvalidOperationException.With.Message.StartsWith("Recomputing drifting gave another f64[4] than its forward pass"));
        }
    }

    [Test]
    public void Steps_AreCheckedOneInSoMany([Values(2, 3)] int every, [Values(CaptureMode.Off, CaptureMode.On)] CaptureMode mode)
    {
        Checkpoint.CheckValuesEvery = every;
        var layer = new Linear(4, 4);
        using var adam = new Adam(layer.Parameters());
        using var trainer = new Trainer(adam, new TrainerOptions { LogEvery = 0, Capture = mode });
        var x = Gradients.IrregularTensor(1, 2, 4).To(DType.Float32);
        var outcomes = new List<bool>();
        for (int step = 1; step <= 6; step++)
        {
            try
            {
                trainer.Step(() => Checkpoint.Run(taken => Operation.Apply(new Drifting(), layer.Forward(taken)).Tanh().Tanh(), x).Sum());
                outcomes.Add(true);
            }
            catch (InvalidOperationException)
            {
                outcomes.Add(false);
            }
        }

        Assert.That(outcomes, Is.EqualTo(Enumerable.Range(1, 6).Select(step => step % every != 0)));
    }

    [Test]
    public void WhatIsDeterministic_Passes([Values] Precision precision)
    {
        Checkpoint.CheckValuesEvery = 1;
        using var study = new PlannedStudy(PlannedNet.Residual, precision);
        study.Trainer.CheckpointPlan = study.Trainer.Profile(study.Loss).Smallest();
        for (int step = 0; step < 3; step++)
        {
            Assert.That(() => study.Trainer.Step(study.Loss), Throws.Nothing);
        }
    }

    [Test]
    public void BadIntervals_AreRefused() =>
        Assert.That(() => Checkpoint.CheckValuesEvery = -1, Throws.TypeOf<ArgumentOutOfRangeException>());

    /// <summary>Adds how often it has run.</summary>
    private sealed class Drifting : ActivationOperation
    {
        private int _runs;

        public override string Name => "drifting";

        protected override bool SavesOutput => true;

        protected override void RunForward(MezzoTensor output, MezzoTensor input) => Calls.ScaleForward(output, input, ++_runs, default);

        protected override void RunBackward(MezzoTensor gradInput, MezzoTensor gradOutput, MezzoTensor saved) => Calls.TanhBackward(gradInput, gradOutput, saved);
    }
}
