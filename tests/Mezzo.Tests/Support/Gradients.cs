// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Support;

/// <summary>Gradients by central differences in f64, the oracle of every op's backward pass.</summary>
internal static class Gradients
{
    private const double Step = 1e-6;

    /// <summary>
    /// Checks the gradient of a function of tensors against central differences. The output is weighted
    /// by fixed irregular numbers, so that an error in one element cannot hide behind another.
    /// </summary>
    public static void AssertMatchFiniteDifferences(Func<Tensor[], Tensor> function, params Tensor[] inputs)
    {
        foreach (var input in inputs)
        {
            Assert.That(input.DType, Is.EqualTo(DType.Float64), "finite differences need f64");
            input.RequiresGrad = true;
            input.ClearGrad();
        }

        using (TensorScope.Begin())
        {
            var output = function(inputs);
            output.Backward(Tensor.Create(Weights(output.ElementCount), output.Shape));
        }

        for (int k = 0; k < inputs.Length; k++)
        {
            var grad = inputs[k].Grad;
            Assert.That(grad, Is.Not.Null, $"input {k} has no gradient");
            double[] actual = grad!.ToArray<double>();
            double[] expected = CentralDifferences(function, inputs, k);
            double largest = expected.Max(Math.Abs);
            for (int i = 0; i < actual.Length; i++)
            {
                // The truncation error is O(h^2), the cancellation error eps / h, relative to the values.
                double tolerance = 1e-7 * (1 + largest);
                Assert.That(Math.Abs(actual[i] - expected[i]) <= tolerance, $"input {k}, element {i}: gradient {actual[i]}, by differences {expected[i]}");
            }
        }
    }

    /// <summary>Numbers of both signs in no order, away from 0 so that kinks are not met.</summary>
    public static double[] Irregular(long count, int seed = 1)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, (int)count).Select(_ => (random.Next(2) == 0 ? -1 : 1) * (0.1 + random.NextDouble()))];
    }

    /// <summary>An f64 tensor of irregular numbers.</summary>
    public static Tensor IrregularTensor(int seed, params long[] shape) =>
        Tensor.Create(Irregular(shape.Aggregate(1L, (a, b) => a * b), seed), shape);

    private static double[] Weights(long count) => Irregular(count, seed: 99);

    private static double[] CentralDifferences(Func<Tensor[], Tensor> function, Tensor[] inputs, int k)
    {
        double[] values = inputs[k].ToArray<double>();
        var differences = new double[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            differences[i] = (ValueAt(values[i] + Step) - ValueAt(values[i] - Step)) / (2 * Step);

            double ValueAt(double value)
            {
                double[] moved = [.. values];
                moved[i] = value;
                using var scope = TensorScope.Begin();
                using var noGrad = NoGrad.Enter();
                Tensor[] arguments = [.. inputs];
                arguments[k] = Tensor.Create(moved, inputs[k].Shape);
                double[] output = function(arguments).ToArray<double>();
                return output.Zip(Weights(output.Length), (y, w) => y * w).Sum();
            }
        }

        return differences;
    }
}
