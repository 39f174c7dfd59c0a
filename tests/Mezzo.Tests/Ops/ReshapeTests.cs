// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

internal sealed class ReshapeTests : TensorFixture
{
    [Test]
    public void Reshape_SharesTheElements()
    {
        var x = Tensor.Zeros([2, 3]);
        x.Reshape(3, -1).Fill(5);
        Assert.That(x.ToArray<float>(), Is.All.EqualTo(5f));
    }

    [Test]
    public void Reshape_Backward_MatchesFiniteDifference() =>
        Gradients.AssertMatchFiniteDifferences(x => x[0].Reshape(6).Relu().Reshape(3, 2), Gradients.IrregularTensor(1, 2, 3));

    [Test]
    public void Reshape_ToAnotherNumberOfElements_IsRefused() => Assert.That(
        () => Tensor.Zeros([2, 3]).Reshape(4, -1), Throws.ArgumentException.With.Message.Contains("[4,-1]").And.Message.Contains("f32[2,3]"));
}
