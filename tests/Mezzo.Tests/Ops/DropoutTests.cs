// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class DropoutTests : TensorFixture
{
    [Test]
    public void Dropout_KeepsOrScales()
    {
        var x = Tensor.Full([1000], 3, DType.Float64);
        double[] values = x.Dropout(0.25).ToArray<double>();
        Assert.That(values.Distinct(), Is.EquivalentTo([0.0, 3 / 0.75]));
        Assert.That(values.Count(value => value == 0), Is.InRange(180, 320), "250 within five deviations");
    }

    [Test]
    public void Dropout_Backward_MatchesFiniteDifference() => Gradients.AssertMatchFiniteDifferences(
        x => x[0].Dropout(0.4, random: new RandomSource(5)), Gradients.IrregularTensor(1, 7, 3));

    [Test]
    public void Dropout_OfEachCall_IsAnother_AndRepeatsWithTheSeed()
    {
        var x = Tensor.Full([100], 1);
        string[] runs = [.. Enumerable.Range(0, 2).Select(_ =>
        {
            RandomSource.SetDefaultSeed(9);
            var (first, second) = (x.Dropout(), x.Dropout());
            Assert.That(Bits(first), Is.Not.EqualTo(Bits(second)));
            return Bits(first) + Bits(second);
        })];
        Assert.That(runs[1], Is.EqualTo(runs[0]));
    }

    [Test]
    public void Dropout_OfTheSameDraw_DropsTheSameInEveryDType()
    {
        bool[][] kept = Array.ConvertAll([DType.Float32, DType.Float64, DType.Float16, DType.BFloat16], dtype =>
            Array.ConvertAll(Values(Tensor.Full([1003], 1, dtype).Dropout(0.3, random: new RandomSource(2))), value => value != 0));
        Assert.That(kept, Is.All.EqualTo(kept[0]));
    }

    [Test]
    public void Dropout_OutOfTraining_IsTheIdentity()
    {
        var x = Tensor.Full([4], double.NaN);
        Assert.That(x.Dropout(0.5, training: false), Is.SameAs(x));
        Assert.That(x.Dropout(0), Is.SameAs(x));
        using var module = new Dropout(0.5);
        Assert.That(module.Forward(x), Is.Not.SameAs(x));
        module.Eval();
        Assert.That(module.Forward(x), Is.SameAs(x));
    }

    [Test]
    public void Dropout_OfEverything_GivesZeros() => Assert.That(
        Tensor.Create([1.0, double.NaN, double.PositiveInfinity], [3]).Dropout(1).ToArray<double>(), Is.All.EqualTo(0.0));

    [TestCase(-0.1)]
    [TestCase(1.1)]
    [TestCase(double.NaN)]
    public void Dropout_OfNoShare_IsRefused(double p)
    {
        Assert.That(() => Tensor.Zeros([1]).Dropout(p), Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(() => new Dropout(p), Throws.TypeOf<ArgumentOutOfRangeException>());
    }

    [Test]
    public void Dropout_InAGraphOfOnesOwn_IsRefused() => Assert.That(
        () => Graph.Capture(() => Tensor.Zeros([4]).Dropout()), Throws.TypeOf<MezzoException>().With.Message.Contains("random numbers"));
}
