// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Optimizers;

internal sealed class LambTests : TensorFixture
{
    [Test]
    public void Step_GivesThePublishedValues()
    {
        var parameter = new Parameter([1], DType.Float64);
        parameter.Fill(1);
        using var lamb = new Lamb([parameter], new LambOptions { LearningRate = 0.01 });
        double[] values = [.. new[] { 0.1, -0.2, 0.05 }.Select(gradient => OptimizerSteps.With(lamb, parameter, gradient))];
        Assert.That(values, Is.EqualTo([0.99, 0.9999, 1.009899]).Within(1e-9));
    }

    [Test]
    public void Step_AdaptsTheRateToNorms_OfParametersWithDecayAlone()
    {
        var (decayed, plain) = (Parameter(3, 4), Parameter(3, 4));
        var options = new LambOptions { LearningRate = 0.01, Clipping = null };
        using var lamb = new Lamb([([decayed], options with { WeightDecay = 0.1 }), ([plain], options with { WeightDecay = 0 })]);
        OptimizerSteps.Backward(decayed, [1, -1]);
        OptimizerSteps.Backward(plain, [1, -1]);
        lamb.Step();

        // After one step the corrected moments are g and g^2, so that m / sqrt(v) is the sign of g.
        double[] update = [1 / (1 + 1e-6) + 0.3, -1 / (1 + 1e-6) + 0.4];
        double rate = 0.01 * 5 / Math.Sqrt(update[0] * update[0] + update[1] * update[1]);
        Assert.That(OptimizerSteps.Values(decayed), Is.EqualTo([3 - rate * update[0], 4 - rate * update[1]]).Within(1e-12));
        Assert.That(OptimizerSteps.Values(plain), Is.EqualTo([3 - 0.01 / (1 + 1e-6), 4 + 0.01 / (1 + 1e-6)]).Within(1e-12));
    }

    [Test]
    public void Step_ClipsAllGradientsToANormOfOne_WithoutEps()
    {
        var (clipped, given) = (Parameter(3, 4), Parameter(3, 4));
        using var lamb = new Lamb([clipped], new LambOptions { BiasCorrection = false });
        using var plain = new Lamb([given], new LambOptions { BiasCorrection = false, Clipping = null });
        OptimizerSteps.Backward(clipped, [30, 40]);
        OptimizerSteps.Backward(given, [0.6, 0.8]);
        lamb.Step();
        plain.Step();
        Assert.That(OptimizerSteps.Values(clipped), Is.EqualTo(OptimizerSteps.Values(given)).Within(1e-15));
    }

    [Test]
    public void Options_OutOfRange_AreRefused()
    {
        Assert.Multiple(() =>
        {
            Assert.That(() => new LambOptions { Beta1 = 1 }, Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(() => new LambOptions { Beta2 = -1 }, Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(() => new LambOptions { Eps = double.NaN }, Throws.TypeOf<ArgumentOutOfRangeException>());
        });
    }

    private static Parameter Parameter(params double[] values)
    {
        var parameter = new Parameter([values.Length], DType.Float64);
        parameter.Write<double>(values);
        return parameter;
    }
}
