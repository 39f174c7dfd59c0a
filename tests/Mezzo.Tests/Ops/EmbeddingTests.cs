// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class EmbeddingTests : TensorFixture
{
    [Test]
    public void Embedding_TakesTheRowsOfItsIndices()
    {
        var weight = Tensor.Create([1f, 2f, 3f, 4f, 5f, 6f], [3, 2]);
        var rows = weight.Embedding(Tensor.Create([2, 0, 2], [3, 1]));
        Assert.That(rows.Shape.ToArray(), Is.EqualTo([3L, 1L, 2L]));
        Assert.That(rows.ToArray<float>(), Is.EqualTo([5f, 6f, 1f, 2f, 5f, 6f]));
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Embedding_Backward_MatchesFiniteDifference(bool usedTwice)
    {
        var indices = Tensor.Create([2L, 0L, 2L, 1L], [2, 2]);
        Gradients.AssertMatchFiniteDifferences(
            x => usedTwice ? x[0].Embedding(indices) + x[0].Embedding(indices) : x[0].Embedding(indices), Gradients.IrregularTensor(1, 4, 3));
    }

    [Test]
    public void Embedding_OfAPaddingIndex_GivesItsRowNoGradient()
    {
        using var table = new Embedding(3, 2, paddingIndex: 1);
        Assert.That(table.Weight.ToArray<float>()[2..4], Is.EqualTo([0f, 0f]));
        table.Forward(Tensor.Create([1, 0, 1, 0], [4])).Sum().Backward();
        Assert.That(table.Weight.Grad!.ToArray<float>(), Is.EqualTo([2f, 2f, 0f, 0f, 0f, 0f]));
    }

    [Test]
    public void Embedding_Module_StartsFromStandardNormalNumbers()
    {
        using var table = new Embedding(100, 100);
        float[] values = table.Weight.ToArray<float>();
        Assert.Multiple(() =>
        {
            Assert.That(values.Average(), Is.EqualTo(0).Within(0.05));
            Assert.That(values.Average(value => value * value), Is.EqualTo(1).Within(0.05));
            Assert.That(() => new Embedding(3, 2, paddingIndex: 3), Throws.TypeOf<ArgumentOutOfRangeException>());
            Assert.That(() => new Embedding(0, 2), Throws.TypeOf<ArgumentOutOfRangeException>());
        });
    }

    [TestCase(DType.Float16)]
    [TestCase(DType.BFloat16)]
    public void Embedding_UnderAutocast_StaysInF32(DType dtype)
    {
        using var table = new Embedding(3, 2);
        using var autocast = Autocast.Enable(dtype);
        Assert.That(table.Forward(Tensor.Create([1], [1])).DType, Is.EqualTo(DType.Float32));
    }

    [Test]
    [Category(TestDevice.CpuOnly)]
    public void Embedding_OfAnIndexOutOfRange_NamesIt() => Assert.That(
        () => Tensor.Zeros([3, 2]).Embedding(Tensor.Create([0, 3], [2])),
        Throws.TypeOf<MezzoException>().With.Message.Contains("indices[1] is 3, expected 0 to 2"));

    [Test]
    public void Embedding_OfBadArguments_NamesThem()
    {
        var indices = Tensor.Create([0], [1]);
        Assert.That(() => Tensor.Zeros([3]).Embedding(indices), Throws.ArgumentException.With.Message.Contains("f32[3], expected [rows, features]"));
        Assert.That(() => Tensor.Zeros([3, 2]).Embedding(indices, 3), Throws.ArgumentException.With.Message.Contains("padding index is 3"));
        Assert.That(
            () => Tensor.Zeros([3, 2]).Embedding(Tensor.Zeros([1])), Throws.TypeOf<MezzoException>().With.Message.Contains("expected dtype i32 or i64"));
    }
}
