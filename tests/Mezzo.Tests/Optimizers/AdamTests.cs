// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Optimizers;

internal sealed class AdamTests : TensorFixture
{
    [Test]
    public void Step_WithWeightDecay_GivesThePublishedValues()
    {
        var parameter = new Parameter([1], DType.Float64);
        parameter.Fill(1);
        var adam = new Adam([parameter], lr: 0.01, weightDecay: 0.01);
        double[] values = [.. new[] { 0.1, -0.2, 0.05 }.Select(gradient => StepWith(adam, parameter, gradient))];
        Assert.That(values, Is.EqualTo([0.990000000909, 0.993086960393, 0.993706295887]).Within(1e-9));
        Assert.That(adam.StepCount, Is.EqualTo(3));
    }

    [TestCase(DType.Float64)]
    [TestCase(DType.Float32)]
    public void Step_OverManyParametersAndSteps_FollowsTheFormula(DType dtype)
    {
        long[][] shapes = [[1], [7, 3], [65, 129], []];
        var parameters = shapes.Select(shape => new Parameter(shape, dtype)).ToArray();
        Array.ForEach(parameters, p => p.FillUniform(1, null));
        var oracles = parameters.Select(p => new Oracle(Values(p))).ToArray();
        var options = AdamOptions.Adam with { LearningRate = 0.02, Beta1 = 0.8, Beta2 = 0.99, Eps = 1e-6, WeightDecay = 0.1 };
        var adam = new Adam(parameters, options);
        for (int t = 1; t <= 12; t++)
        {
            adam.ZeroGrad();
            adam.LearningRate = 0.02 / t;
            for (int i = 0; i < parameters.Length; i++)
            {
                var weights = Tensor.Uniform(parameters[i].Shape, -1, 1, dtype);
                (parameters[i] * 1).Backward(weights);
                oracles[i].Step(Values(weights), t, options with { LearningRate = adam.LearningRate });
            }

            adam.Step();
        }

        // Each step rounds a handful of times; errors of the moments reach p through lr alone.
        double tolerance = 12 * 8 * (dtype == DType.Float64 ? Math.Pow(2, -53) : Math.Pow(2, -24));
        foreach (var (parameter, oracle) in parameters.Zip(oracles))
        {
            Assert.That(Values(parameter), Is.EqualTo(oracle.Values).Within(tolerance));
        }
    }

    [Test]
    public void Step_LeavesParametersWithoutAGradientAlone()
    {
        var (used, unused) = (new Parameter([2]), new Parameter([2]));
        used.Fill(1);
        unused.Fill(1);
        var adam = new Adam([used, unused]);
        used.Sum().Backward();
        adam.Step();
        Assert.That(unused.ToArray<float>(), Is.All.EqualTo(1f));
        Assert.That(used.ToArray<float>(), Is.All.LessThan(1f));
    }

    [Test]
    public void Constructor_WithBadArguments_NamesThem()
    {
        var parameter = new Parameter([1]);
        Assert.Multiple(() =>
        {
            Assert.That(() => new Adam([]), Throws.ArgumentException.With.Message.Contains("empty parameter list"));
            Assert.That(() => new Adam([parameter, parameter]), Throws.ArgumentException.With.Message.Contains("twice"));
            Assert.That(() => new Adam([parameter], lr: -1), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("LearningRate"));
            Assert.That(() => new Adam([parameter], lr: double.NaN), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("LearningRate"));
            Assert.That(() => new Adam([parameter], beta1: 1), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("Beta1"));
            Assert.That(() => new Adam([parameter], beta2: -0.1), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("Beta2"));
            Assert.That(() => new Adam([parameter], eps: -1), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("Eps"));
            Assert.That(() => new Adam([parameter], weightDecay: -1), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("WeightDecay"));
        });
    }

    private static double StepWith(Adam adam, Parameter parameter, double gradient)
    {
        adam.ZeroGrad();
        (parameter * gradient).Sum().Backward();
        adam.Step();
        return Values(parameter)[0];
    }

    /// <summary>The formula of the paper, in f64, one element at a time.</summary>
    private sealed class Oracle(double[] values)
    {
        private readonly double[] _m = new double[values.Length];
        private readonly double[] _v = new double[values.Length];

        public double[] Values { get; } = values;

        public void Step(double[] gradients, int t, AdamOptions adam)
        {
            for (int i = 0; i < Values.Length; i++)
            {
                double g = gradients[i] + adam.WeightDecay * Values[i];
                _m[i] = adam.Beta1 * _m[i] + (1 - adam.Beta1) * g;
                _v[i] = adam.Beta2 * _v[i] + (1 - adam.Beta2) * g * g;
                double mHat = _m[i] / (1 - Math.Pow(adam.Beta1, t));
                double vHat = _v[i] / (1 - Math.Pow(adam.Beta2, t));
                Values[i] -= adam.LearningRate * mHat / (Math.Sqrt(vHat) + adam.Eps);
            }
        }
    }
}
