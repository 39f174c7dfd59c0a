// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Modules;

internal sealed class LinearModuleTests : TensorFixture
{
    [Test]
    public void Initialisation_IsPyTorchsDefault()
    {
        var layer = new Linear(150, 400);
        double bound = 1 / Math.Sqrt(150);
        double[] weights = Values(layer.Weight);
        double[] biases = Values(layer.Bias!);
        Assert.Multiple(() =>
        {
            Assert.That(weights.Concat(biases), Is.All.InRange(-bound, bound));
            // Uniform in ±b: deviation b / sqrt(3); five standard errors of 60,000 draws.
            Assert.That(weights.Average(), Is.EqualTo(0).Within(5 * bound / Math.Sqrt(3 * 60000)));
            Assert.That(weights.Average(w => w * w), Is.EqualTo(bound * bound / 3).Within(2).Percent);
            Assert.That(biases.Max(), Is.GreaterThan(0.9 * bound));
            Assert.That(weights[..400], Is.Not.EqualTo(biases));
        });
    }

    [Test]
    public void Initialisation_WithTheSameSeed_Repeats()
    {
        RandomSource.SetDefaultSeed(11);
        string first = Bits(new Linear(5, 6).Weight);
        RandomSource.SetDefaultSeed(11);
        string second = Bits(new Linear(5, 6).Weight);
        Assert.That(second, Is.EqualTo(first));
        Assert.That(Bits(new Linear(5, 6).Weight), Is.Not.EqualTo(first));
    }

    [TestCase(0, 1)]
    [TestCase(1, -3)]
    public void Features_BelowOne_AreRefused(long inFeatures, long outFeatures) => Assert.That(
        () => new Linear(inFeatures, outFeatures), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("Features"));

    [Test]
    public void Parameter_OfAHalfDType_IsRefused() => Assert.That(
        () => new Parameter([1], DType.Float16), Throws.ArgumentException.With.Message.Contains("f16"));

    [Test]
    public void CopyParametersFrom_AnotherStructure_NamesTheDifference() => Assert.That(
        () => new Linear(2, 3).CopyParametersFrom(new Linear(2, 4)), Throws.ArgumentException.With.Message.Contains("weight f32[3,2]"));
}
