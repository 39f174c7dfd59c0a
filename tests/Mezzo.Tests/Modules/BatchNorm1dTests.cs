// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Modules;

internal sealed class BatchNorm1dTests : TensorFixture
{
    [Test]
    public void Statistics_RunInTrainingAndAreTakenInEvaluation()
    {
        using var layer = new BatchNorm1d(1, dtype: DType.Float64);
        layer.Forward(Tensor.Create([1.0, 3.0], [2, 1]));
        Assert.That(layer.RunningMean!.Item(), Is.EqualTo(0.2).Within(1e-15));
        Assert.That(layer.RunningVar!.Item(), Is.EqualTo(0.9 + (0.1 * 2)).Within(1e-15), "unbiased");
        Assert.That(layer.BatchesTracked!.ToArray<long>()[0], Is.EqualTo(1));

        layer.Eval();
        double output = layer.Forward(Tensor.Create([1.2], [1, 1])).Item();
        Assert.That(output, Is.EqualTo(1 / Math.Sqrt(1.1 + 1e-5)).Within(1e-14));
        Assert.That(layer.BatchesTracked.ToArray<long>()[0], Is.EqualTo(1));
    }

    [Test]
    public void Buffers_AreNamedLikeParametersAndOutliveScopes()
    {
        Sequential model;
        using (TensorScope.Begin())
        {
            model = new Sequential(new Linear(2, 3), new BatchNorm1d(3), new BatchNorm1d(3, trackRunningStats: false));
        }

        Assert.That(
            model.NamedBuffers().Select(named => named.Name), Is.EqualTo(new[] { "1.running_mean", "1.running_var", "1.num_batches_tracked" }));
        Assert.That(model.Buffers().Select(buffer => buffer.IsDisposed), Is.All.False);
        Assert.That(model.NamedParameters().Select(named => named.Name), Is.EqualTo(new[] { "0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias" }));
        var buffers = model.Buffers().ToArray();
        model.Dispose();
        Assert.That(buffers.Select(buffer => buffer.IsDisposed), Is.All.True);
    }

    [Test]
    public void WithoutRunningStatistics_TakesTheBatchsInEvaluationToo()
    {
        using var layer = new BatchNorm1d(2, trackRunningStats: false);
        var x = Gradients.IrregularTensor(1, 4, 2).To(DType.Float32);
        string training = Bits(layer.Forward(x));
        layer.Eval();
        Assert.That(Bits(layer.Forward(x)), Is.EqualTo(training));
    }

    [Test]
    public void CumulativeAverage_InCapturedSteps_CountsEachStepOnce()
    {
        using var captured = Train(CaptureMode.On);
        using var plain = Train(CaptureMode.Off);
        Assert.That(captured.BatchesTracked!.ToArray<long>()[0], Is.EqualTo(5));
        Assert.That(Bits(captured.RunningMean!), Is.EqualTo(Bits(plain.RunningMean!)));
        Assert.That(Bits(captured.RunningVar!), Is.EqualTo(Bits(plain.RunningVar!)));

        static BatchNorm1d Train(CaptureMode mode)
        {
            var layer = new BatchNorm1d(3, momentum: null);
            var x = Tensor.Uniform([8, 3], random: new RandomSource(1));
            using var trainer = new Trainer(new Adam(layer.Parameters()), new TrainerOptions { Capture = mode, Precision = Precision.Float32 });
            for (int step = 0; step < 5; step++)
            {
                trainer.Step(input => Losses.Mse(layer.Forward(input), Tensor.Zeros([8, 3])), x);
                x.CopyFrom(x * 1.5);
            }

            return layer;
        }
    }

    [Test]
    public void Input_OfOtherDimensions_IsRefused()
    {
        using var layer = new BatchNorm1d(3);
        Assert.That(
            () => layer.Forward(Tensor.Zeros([2, 4])),
            Throws.ArgumentException.With.Message.StartsWith("batch_norm: the input is f32[2,4], expected [n,3] or [n,3,length]."));
    }
}
