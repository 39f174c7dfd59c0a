// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Training;

/// <summary>The study's first losses against PyTorch's, from the same initial parameters and data.</summary>
internal sealed class SinCosGoldenTests : TensorFixture
{
    private const int MaxSimulatedSamples = 1000;

    private static IEnumerable<SinCosCase> Cases => SinCosStudy.Golden.Cases.Where(Fits);

    private static IEnumerable<SinCosCase> SensitiveCases => SinCosStudy.Golden.SensitiveCases.Where(Fits);

    [TestCaseSource(nameof(Cases))]
    public void Losses_InF32_AgreeWithPyTorch(SinCosCase golden) =>
        AssertAgree(golden, DType.Float32, golden.LossesF32, i => i < 3 ? 1e-6 : 1e-4);

    [TestCaseSource(nameof(Cases))]
    [TestCaseSource(nameof(SensitiveCases))]
    public void Losses_InF64_AgreeWithPyTorch(SinCosCase golden) =>
        AssertAgree(golden, DType.Float64, golden.LossesF64, i => i < 3 ? 1e-12 : 1e-9);

    /// <summary>
    /// Where PyTorch's own losses depend on the order in which it sums, as far as four orders showed, those of
    /// another order can be held to no more than a small multiple of the differences it has shown so far.
    /// </summary>
    [TestCaseSource(nameof(SensitiveCases))]
    public void Losses_InF32_StayWithinPyTorchsOwnSpread(SinCosCase golden) =>
        AssertAgree(golden, DType.Float32, golden.LossesF32, i => i < 3 ? 1e-6 : Math.Max(1e-4, 3 * golden.SpreadF32![..(i + 1)].Max()));

    [Test]
    public void Parameters_HavePyTorchsNamesAndOrder() => Assert.That(
        new SinCosStudy(2, 1, 0).NamedParameters().Select(named => named.Name), Is.EqualTo(SinCosStudy.Golden.Parameters));

    private static bool Fits(SinCosCase golden) => !TestDevice.IsSimulated || golden.Samples <= MaxSimulatedSamples;

    private static void AssertAgree(SinCosCase golden, DType dtype, double[] expected, Func<int, double> tolerance)
    {
        var study = new SinCosStudy(golden.Samples, golden.Hidden, golden.Seed, dtype);
        using var trainer = new Trainer(new Adam(study.Parameters(), golden.Lr));
        var losses = trainer.Run(study.Loss, expected.Length).Losses;
        for (int i = 0; i < expected.Length; i++)
        {
            double error = Math.Abs(losses[i] / expected[i] - 1);
            Assert.That(error <= tolerance(i), $"loss {i} is {losses[i]:R}, PyTorch's {expected[i]:R}: relative error {error:e1}");
        }
    }
}
