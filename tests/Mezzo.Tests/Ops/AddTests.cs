// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class AddTests : TensorFixture
{
    [Test]
    public void Add_Forward_AddsElementwise()
    {
        var sum = Tensor.Create([1f, 2f], [2]) + Tensor.Create([10f, 20f], [2]);
        Assert.That(sum.ToArray<float>(), Is.EqualTo([11f, 22f]));
    }

    [Test]
    public void Add_Backward_MatchesFiniteDifference() =>
        Gradients.AssertMatchFiniteDifferences(x => x[0] + x[1], Gradients.IrregularTensor(1, 5), Gradients.IrregularTensor(2, 5));

    [Test]
    public void Add_OfATensorToItself_DoublesTheGradient() =>
        Gradients.AssertMatchFiniteDifferences(x => x[0] + x[0] + x[0], Gradients.IrregularTensor(1, 5));

    [Test]
    public void Add_UnderAutocast_WidensMixedInputs()
    {
        using var autocast = Autocast.Enable(DType.Float16);
        Assert.Multiple(() =>
        {
            Assert.That((Tensor.Zeros([2], DType.Float16) + Tensor.Zeros([2])).DType, Is.EqualTo(DType.Float32));
            Assert.That((Tensor.Zeros([2], DType.Float16) + Tensor.Zeros([2], DType.BFloat16)).DType, Is.EqualTo(DType.Float32));
            Assert.That((Tensor.Zeros([2], DType.Float16) + Tensor.Zeros([2], DType.Float16)).DType, Is.EqualTo(DType.Float16));
        });
    }

    [Test]
    public void Add_OfDifferentShapes_NamesBoth() => Assert.That(
        () => Tensor.Zeros([2, 3]) + Tensor.Zeros([3]),
        Throws.TypeOf<MezzoException>().With.Message.Contains("f32[3]").And.Message.Contains("f32[2,3]")
            .And.Property(nameof(MezzoException.Status)).EqualTo(MezzoStatus.ShapeMismatch));

    [Test]
    public void Add_OfDifferentDTypes_NamesBoth() => Assert.That(
        () => Tensor.Zeros([2]) + Tensor.Zeros([2], DType.Float64),
        Throws.TypeOf<MezzoException>().With.Message.Contains("f64").And.Message.Contains("f32")
            .And.Property(nameof(MezzoException.Status)).EqualTo(MezzoStatus.DTypeMismatch));
}
