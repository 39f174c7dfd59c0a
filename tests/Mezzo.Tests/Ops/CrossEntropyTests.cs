// SPDX-License-Identifier: MIT
using Mezzo.Native;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class CrossEntropyTests : TensorFixture
{
    [Test]
    public void CrossEntropy_Backward_MatchesFiniteDifferences([Values] Reduction reduction, [Values(0, 0.2)] double smoothing)
    {
        var target = Tensor.Create([2L, 0, -100, 1], [4]);
        var weight = Tensor.Create([0.5, 2, 1], [3]);
        Gradients.AssertMatchFiniteDifferences(
            x => Losses.CrossEntropy(x[0], target, weight, labelSmoothing: smoothing, reduction: reduction), Gradients.IrregularTensor(1, 4, 3));
    }

    [Test]
    public void CrossEntropy_OfOneRow_TakesAScalar()
    {
        var logits = Gradients.IrregularTensor(1, 5);
        double expected = -logits.LogSoftmax().ToArray<double>()[3];
        Assert.That(Losses.CrossEntropy(logits, Tensor.Scalar(3)).Item(), Is.EqualTo(expected).Within(1e-15));
    }

    [Test]
    public void CrossEntropy_UnderAutocast_ReadsHalfLogitsAsTheyAre([Values(DType.Float16, DType.BFloat16)] DType half) =>
        HalfInput.AssertReadAsItIs(half, "cross_entropy", x => Losses.CrossEntropy(x, Tensor.Create([0, 6, 3, 2, 2], [5]), Tensor.Create([1f, 2, 0.5f, 3, 1, 1, 4], [7])));

    [Test]
    public void CrossEntropy_OfIgnoredRowsAlone_IsNaNAsPyTorchs() =>
        Assert.That(Losses.CrossEntropy(Tensor.Zeros([2, 3]), Tensor.Create([5, 5], [2]), ignoreIndex: 5).Item(), Is.NaN);

    [Test]
    [Category("CpuOnly")]
    public void CrossEntropy_OfATargetThatIsNoClass_IsRefused() => Assert.That(
        () => Losses.CrossEntropy(Tensor.Zeros([2, 3]), Tensor.Create([1, 3], [2])),
        Throws.TypeOf<MezzoException>().With.Message.Contains("target[1] is 3, expected a class, 0 to 2, or ignore_index, -100"));

    [Test]
    public void CrossEntropy_OfAWeightThatRequiresAGradient_IsRefused()
    {
        var weight = Tensor.Full([3], 1);
        weight.RequiresGrad = true;
        Assert.That(() => Losses.CrossEntropy(Tensor.Zeros([2, 3]), Tensor.Create([1, 2], [2]), weight), Throws.TypeOf<NotSupportedException>());
    }
}
