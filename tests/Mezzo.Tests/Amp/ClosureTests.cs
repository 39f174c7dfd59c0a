// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Amp;

internal sealed class ClosureTests : TensorFixture
{
    // The gradient of each element is 8, which overflows in f32 at a loss scale above 2^124.
    private const double Largest = 1.7014118346046923e38; // 2^127
    private readonly Func<Parameter, Tensor> _loss = parameter => parameter.Sum() * 8;

    [Test]
    public void OptimizerStep_OfAClosure_DifferentiatesAnew()
    {
        using var parameter = One();
        using var sgd = new Sgd([parameter], new SgdOptions { LearningRate = 0.125 });
        parameter.Sum().Backward(); // what is there already does not count
        var loss = sgd.Step(() => _loss(parameter));
        Assert.That(loss.Item(), Is.EqualTo(16));
        Assert.That(parameter.ToArray<float>(), Is.EqualTo([0f, 0f]));
    }

    [TestCase(0, StepOutcome.Skipped, 1)]
    [TestCase(2, StepOutcome.Skipped, 3)]
    [TestCase(3, StepOutcome.Applied, 4)]
    [TestCase(int.MaxValue, StepOutcome.Applied, 4)]
    public void ScalerStep_OfAClosure_IsDoneAgainAtLowerScales(int retries, StepOutcome outcome, int calls)
    {
        using var parameter = One();
        using var sgd = new Sgd([parameter], new SgdOptions { LearningRate = 0.125 });
        var scaler = new GradScaler(initScale: Largest);
        int called = 0;
        var (loss, result) = scaler.Step(sgd, () => { called++; return _loss(parameter); }, retries);
        Assert.Multiple(() =>
        {
            Assert.That((result.Outcome, called), Is.EqualTo((outcome, calls)));
            Assert.That(loss.Item(), Is.EqualTo(16));
            Assert.That(scaler.GetScale(), Is.EqualTo(Largest / Math.Pow(2, outcome == StepOutcome.Applied ? calls - 1 : calls)));
            Assert.That(parameter.ToArray<float>(), Is.All.EqualTo(outcome == StepOutcome.Applied ? 0f : 1f));
        });
    }

    [Test]
    public void ScalerStep_OfAClosureThatNoScaleCures_IsNotDoneAgain()
    {
        using var parameter = One();
        using var sgd = new Sgd([parameter], new SgdOptions { LearningRate = 0.125 });
        foreach (var (policy, factor) in new[] { (ScalerPolicy.Static(Largest), 8.0), (ScalerPolicy.Torch, double.NaN) })
        {
            int called = 0;
            var (_, result) = new GradScaler(policy).Step(sgd, () => { called++; return parameter.Sum() * factor; }, retries: 5);
            Assert.That((result.Outcome, called), Is.EqualTo((StepOutcome.Skipped, 1)));
        }
    }

    [Test]
    public void ScalerStep_OfAClosureWithADisabledScaler_IsTheOptimizers()
    {
        using var parameter = One();
        using var sgd = new Sgd([parameter], new SgdOptions { LearningRate = 0.125 });
        var (_, result) = new GradScaler(enabled: false).Step(sgd, () => _loss(parameter), retries: 2);
        Assert.That((result.Outcome, parameter.ToArray<float>()[0]), Is.EqualTo((StepOutcome.Applied, 0f)));
        Assert.That(() => new GradScaler().Step(sgd, () => _loss(parameter), retries: -1), Throws.TypeOf<ArgumentOutOfRangeException>());
    }

    private static Parameter One()
    {
        var parameter = new Parameter([2]);
        parameter.Fill(1);
        return parameter;
    }
}
