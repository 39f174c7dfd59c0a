// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Autograd;

internal sealed class BackwardTests : TensorFixture
{
    [Test]
    public void Backward_ThroughASharedTrunk_MatchesFiniteDifference()
    {
        var target = Gradients.IrregularTensor(9, 4, 2);
        Gradients.AssertMatchFiniteDifferences(
            x =>
            {
                var trunk = x[0].LinearRelu(x[1]);
                return Losses.Mse(trunk.Linear(x[2]), target) + Losses.Mse(trunk.LinearRelu(x[3]).Linear(x[2]), target) * 0.5;
            },
            Gradients.IrregularTensor(1, 4, 3),
            Gradients.IrregularTensor(2, 3, 3),
            Gradients.IrregularTensor(3, 2, 3),
            Gradients.IrregularTensor(4, 3, 3));
    }

    [Test]
    public void Backward_Twice_IsRefusedInPyTorchsWords()
    {
        var loss = Leaf().Relu().Sum();
        loss.Backward();
        Assert.That(() => loss.Backward(), Throws.InvalidOperationException.With.Message.StartsWith("Trying to backward through the graph a second time"));
    }

    [Test]
    public void Backward_TwiceOverASharedPart_IsRefused()
    {
        var trunk = Leaf().Relu();
        var (first, second) = (trunk.Sum(), trunk.Mean());
        first.Backward();
        Assert.That(() => second.Backward(), Throws.InvalidOperationException);
    }

    [Test]
    public void Backward_RetainingTheGraph_AddsTheGradientAgain()
    {
        var x = Leaf();
        var loss = x.Relu().Sum();
        loss.Backward(retainGraph: true);
        loss.Backward();
        Assert.That(x.Grad!.ToArray<float>(), Is.EqualTo([0f, 2f, 2f]));
    }

    [Test]
    public void Backward_OfSeveralBatches_AddsUpUntilCleared()
    {
        var x = Leaf();
        x.Sum().Backward();
        (x * 3).Sum().Backward();
        Assert.That(x.Grad!.ToArray<float>(), Is.All.EqualTo(4f));
        x.ClearGrad();
        Assert.That(x.Grad, Is.Null);
    }

    [Test]
    public void Backward_OfAPassedOnGradient_DoesNotShareItWithAnother()
    {
        var (x, y) = (Leaf(), Leaf());
        (x + y).Sum().Backward();
        x.Sum().Backward();
        Assert.Multiple(() =>
        {
            Assert.That(x.Grad!.ToArray<float>(), Is.All.EqualTo(2f));
            Assert.That(y.Grad!.ToArray<float>(), Is.All.EqualTo(1f));
        });
    }

    [Test]
    public void Backward_OfATensorThatNeedsNoGradient_IsRefused() => Assert.That(
        () => Tensor.Scalar(1f).Backward(), Throws.InvalidOperationException.With.Message.Contains("does not require grad"));

    [Test]
    public void Backward_OfMoreThanAScalar_AsksForAGradient() => Assert.That(
        () => Leaf().Relu().Backward(), Throws.InvalidOperationException.With.Message.Contains("only for scalar outputs"));

    [Test]
    public void Backward_WithAGradientOfAnotherShape_NamesBoth() => Assert.That(
        () => Leaf().Relu().Backward(Tensor.Zeros([2])), Throws.ArgumentException.With.Message.Contains("f32[2], expected f32[3]"));

    [Test]
    public void Backward_AfterASavedTensorChanged_IsRefused()
    {
        var output = Leaf().Relu();
        var loss = output.Sum();
        output.Fill(1);
        Assert.That(() => loss.Backward(), Throws.InvalidOperationException.With.Message.Contains("modified by an inplace operation"));
    }

    [Test]
    public void Backward_AfterAViewOfASavedTensorChanged_IsRefused()
    {
        var output = Leaf().Relu();
        var loss = output.Sum();
        output.Detach().Fill(1);
        Assert.That(() => loss.Backward(), Throws.InvalidOperationException.With.Message.Contains("modified by an inplace operation"));
    }

    [Test]
    public void Backward_ThatFails_LeavesNothingBehindForTheNext()
    {
        var x = Leaf();
        var output = x.Relu();
        var loss = (output + output).Sum();
        output.Fill(1);
        Assert.That(() => loss.Backward(), Throws.InvalidOperationException);
        x.ClearGrad();
        x.Sum().Backward();
        Assert.That(x.Grad!.ToArray<float>(), Is.All.EqualTo(1f));
    }

    [Test]
    public void NoGrad_RecordsNothing()
    {
        var x = Leaf();
        using (NoGrad.Enter())
        {
            Assert.That(x.Relu().RequiresGrad, Is.False);
        }

        Assert.That(x.Relu().RequiresGrad, Is.True);
    }

    [Test]
    public void Detach_StopsTheGradient()
    {
        var x = Leaf();
        (x.Detach() + x).Sum().Backward();
        Assert.That(x.Grad!.ToArray<float>(), Is.All.EqualTo(1f));
    }

    [Test]
    public void RequiresGrad_OfIntegersOrOfResults_CannotBeSet()
    {
        Assert.Multiple(() =>
        {
            Assert.That(() => Tensor.Zeros([1], DType.Int64).RequiresGrad = true, Throws.InvalidOperationException.With.Message.Contains("i64[1]"));
            Assert.That(() => Leaf().Relu().RequiresGrad = false, Throws.InvalidOperationException.With.Message.Contains("leaf"));
        });
    }

    private static Tensor Leaf()
    {
        var leaf = Tensor.Create([-1f, 2f, 3f], [3]);
        leaf.RequiresGrad = true;
        return leaf;
    }
}
