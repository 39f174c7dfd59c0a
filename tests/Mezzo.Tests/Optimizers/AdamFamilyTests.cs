// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Optimizers;

/// <summary>The optimizers of Adam's family against the golden values of their sources' formulas: p = 1, lr and weight decay 0.01.</summary>
internal sealed class AdamFamilyTests : TensorFixture
{
    private static IEnumerable<TestCaseData> Flavors()
    {
        yield return Case("Adam", AdamOptions.Adam, 0.990000000909, 0.993086960393, 0.993706295887);
        yield return Case("AdamW", AdamOptions.AdamW, 0.989900001, 0.993462046039, 0.994729606361);
        yield return Case("FusedAdam", AdamOptions.FusedAdam, 0.989900001, 0.993462046039, 0.994729606361);
        yield return Case("LegacyFusedAdam", AdamOptions.LegacyFusedAdam, 0.989968408846, 0.993606143326, 0.994952976172);
        yield return Case(
            "LegacyFusedAdam without bias correction",
            AdamOptions.LegacyFusedAdam with { BiasCorrection = AdamBiasCorrection.None },
            0.968277323398,
            0.983738378716,
            0.990406505053);
        yield return Case("BertAdam", AdamOptions.BertAdam, 0.968287220237, 0.983746096441, 0.990413297078);
        yield return Case("HuggingFaceAdamW", AdamOptions.HuggingFaceAdamW, 0.989904160962, 0.993465322037, 0.994732556731);

        static TestCaseData Case(string name, AdamOptions options, params double[] golden) =>
            new TestCaseData(options with { LearningRate = 0.01, WeightDecay = 0.01 }, golden).SetArgDisplayNames(name);
    }

    [TestCaseSource(nameof(Flavors))]
    public void Step_GivesThePublishedValues(AdamOptions options, double[] golden)
    {
        var parameter = new Parameter([1], DType.Float64);
        parameter.Fill(1);
        using var adam = new Adam([parameter], options);
        double[] values = [.. new[] { 0.1, -0.2, 0.05 }.Select(gradient => OptimizerSteps.With(adam, parameter, gradient))];
        Assert.That(values, Is.EqualTo(golden).Within(1e-9));
    }

    [Test]
    public void BertAdam_ClipsEachGradientByItsOwnNorm()
    {
        var parameters = new[] { new Parameter([2], DType.Float64), new Parameter([1], DType.Float64) };
        Array.ForEach(parameters, parameter => parameter.Fill(1));
        var options = AdamOptions.BertAdam with { LearningRate = 0.01 };
        using var adam = new Adam(parameters, options);
        OptimizerSteps.Backward(parameters[0], [3, 4]); // norm 5, clipped to 1
        OptimizerSteps.Backward(parameters[1], [0.5]);  // below 1, left alone
        adam.Step();

        double coefficient = 1 / (5 + 1e-6);
        Assert.That(OptimizerSteps.Values(parameters[0]), Is.EqualTo([After(3 * coefficient), After(4 * coefficient)]).Within(1e-15));
        Assert.That(OptimizerSteps.Values(parameters[1]), Is.EqualTo([After(0.5)]).Within(1e-15));

        static double After(double g) => 1 - 0.01 * (0.1 * g / (Math.Sqrt(0.001 * g * g) + 1e-6) + 0.01);
    }

    [Test]
    public void LegacyFusedAdam_ClipsEachGroupByItsOwnNorm()
    {
        var parameters = Enumerable.Range(0, 4).Select(_ => new Parameter([1], DType.Float64)).ToArray();
        Array.ForEach(parameters, parameter => parameter.Fill(1));
        var decayed = AdamOptions.LegacyFusedAdam with
        {
            LearningRate = 0.01,
            WeightDecay = 0.01,
            EpsInsideSqrt = true,
            Clipping = GradientClipping.ByNorm(1, ClippingScope.Group),
        };
        using var adam = new Adam([(parameters[..2], decayed), (parameters[2..], decayed with { WeightDecay = 0 })]);
        double[] gradients = [3, 4, 0.3, 0.4];
        foreach (var (parameter, gradient) in parameters.Zip(gradients))
        {
            OptimizerSteps.Backward(parameter, [gradient]);
        }

        adam.Step();
        double coefficient = 1 / (5 + 1e-6);
        double[] expected = [After(3 * coefficient, 0.01), After(4 * coefficient, 0.01), After(0.3, 0), After(0.4, 0)];
        Assert.That(parameters.Select(parameter => OptimizerSteps.Values(parameter)[0]), Is.EqualTo(expected).Within(1e-15));

        static double After(double g, double weightDecay)
        {
            double stepSize = 0.01 * Math.Sqrt(1 - 0.999) / (1 - 0.9);
            return 1 - stepSize * ((1 - 0.9) * g / Math.Sqrt((1 - 0.999) * g * g + 1e-8) + weightDecay);
        }
    }
}
