// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Capture;

internal sealed class GraphTests : TensorFixture
{
    [Test]
    public void Launch_RunsWhatWasCaptured_OnWhatTheTensorsHoldThen()
    {
        var (x, y) = (Tensor.Create([-1f, 2f], [2]), Tensor.Full([2], 7));
        using var graph = Graph.Capture(() => y.CopyFrom((x * 3).Relu()));
        Assert.That(y.ToArray<float>(), Is.All.EqualTo(7f), "the capture ran");
        graph.Launch();
        Assert.That(y.ToArray<float>(), Is.EqualTo([0f, 6f]));
        x.Write<float>([4, -5]);
        graph.Launch();
        Assert.That(y.ToArray<float>(), Is.EqualTo([12f, 0f]));
    }

    [Test]
    public void Graph_TellsWhatItHolds()
    {
        var x = Tensor.Zeros([1024]);
        Tensor? y = null;
        using var graph = Graph.Capture(() => y = x.Relu() + x);
        Assert.Multiple(() =>
        {
            Assert.That(graph.Device, Is.EqualTo(TestDevice.Current));
            Assert.That(graph.Ops, Is.EqualTo(2));
            Assert.That(graph.MemoryBytes, Is.EqualTo(2 * 4096));
            Assert.That(Graph.IsCapturing, Is.False);
        });
        Assert.That(y!.Shape.ToArray(), Is.EqualTo(new long[] { 1024 }));
    }

    [Test]
    public void TensorOfTheCapture_HoldsTheLatestResults()
    {
        var x = Tensor.Create([1f], [1]);
        Tensor y = null!;
        using var graph = Graph.Capture(() => y = x * 2);
        foreach (float value in new[] { 3f, -4f })
        {
            x.Fill(value);
            graph.Launch();
            Assert.That(y.ToArray<float>(), Is.EqualTo([2 * value]));
        }
    }

    [Test]
    public void Capture_OfAWholeBackwardPass_ShowsTheLatestGradient()
    {
        using var layer = new Linear(3, 1);
        var x = Tensor.Full([2, 3], 1);
        using var graph = Graph.Capture(() => layer.Forward(x).Sum().Backward());
        foreach (double value in new[] { 1.0, 5.0 })
        {
            x.Fill(value);
            layer.Weight.ClearGrad();
            graph.Launch();
            Assert.That(layer.Weight.Grad!.ToArray<float>(), Is.All.EqualTo((float)(2 * value)));
        }

        graph.Dispose();
        Assert.That(layer.Weight.Grad!.ToArray<float>(), Is.All.EqualTo(10f), "the gradient outlives the graph");
    }

    [Test]
    public void Launch_AfterAParameterChanged_ReadsItsNewHalves()
    {
        using var layer = new Linear(2, 1, bias: false);
        var x = Tensor.Full([1, 2], 1);
        Tensor y = null!;
        using var autocast = Autocast.Enable(DType.BFloat16);
        using var graph = Graph.Capture(() => y = layer.Forward(x));
        foreach (double weight in new[] { 2.0, -3.0 })
        {
            layer.Weight.Fill(weight);
            graph.Launch();
            Assert.That(Values(y), Is.EqualTo([2 * weight]));
            Assert.That(Values(layer.Forward(x)), Is.EqualTo([2 * weight]), "op by op, after the launch");
        }
    }

    [Test]
    public void Halves_CastForTheFirstTimeInACapture_AreRightWithoutALaunch()
    {
        using var layer = new Linear(2, 1, bias: false);
        layer.Weight.Fill(2);
        using var autocast = Autocast.Enable(DType.BFloat16);
        var x = Tensor.Full([1, 2], 1);
        using var graph = Graph.Capture(() => layer.Forward(x));
        Assert.That(Values(layer.Forward(x)), Is.EqualTo([4.0]));
    }

    [Test]
    public void Launch_CountsAsAChange_OfWhatItWrites()
    {
        var x = Tensor.Create([1f, 2f], [2]);
        x.RequiresGrad = true;
        var relu = x.Relu();
        using var graph = Graph.Capture(() => relu.Detach().Fill(3));
        int version = relu.Version;
        graph.Launch();
        Assert.That(relu.Version, Is.GreaterThan(version));
        Assert.That(() => relu.Sum().Backward(), Throws.InvalidOperationException.With.Message.Contains("modified by an inplace operation"));
    }

    [Test]
    public void WhatCannotBeCaptured_IsThrownOn_AndEndsTheCapture()
    {
        var x = Tensor.Create([1f], [1]);
        (Action Work, string Message)[] cases =
        [
            (() => x.Relu().Item(), "it copies to the host"),
            (() => x.Write<float>([2]), "it copies from the host"),
            (() => Tensor.Uniform([1]), "a captured step would repeat the same numbers"),
            (() => x.Device.Synchronize(), "nothing that is recorded has run"),
            (() => Graph.Capture(() => { }), "is under way"),
        ];
        foreach (var (work, message) in cases)
        {
            Assert.That(
                () => Graph.Capture(work),
                Throws.TypeOf<MezzoException>().With.Property(nameof(MezzoException.Status)).EqualTo(MezzoStatus.CaptureInvalid)
                    .And.Message.Contains(message));
            Assert.That(Graph.IsCapturing, Is.False);
            Assert.That((x * 2).ToArray<float>(), Is.EqualTo([2f]), "ops run at once again");
        }
    }

    [Test]
    public void RandomNumbers_AfterARefusedDraw_AreThoseOfNoDraw()
    {
        var (random, other) = (new RandomSource(3), new RandomSource(3));
        Assert.That(() => Graph.Capture(() => Tensor.Uniform([4], random: random)), Throws.TypeOf<MezzoException>());
        Assert.That(Tensor.Uniform([4], random: random).ToArray<float>(), Is.EqualTo(Tensor.Uniform([4], random: other).ToArray<float>()));
    }

    [Test]
    public void OtherThreads_AreTurnedAwayDuringACapture()
    {
        var x = Tensor.Create([1f], [1]);
        using var graph = Graph.Capture(() =>
        {
            var other = Task.Run(() => x.Relu());
            Assert.That(
                () => other.GetAwaiter().GetResult(), Throws.TypeOf<MezzoException>().With.Message.Contains("is being captured by another thread"));
        });
        Assert.That(graph.Ops, Is.Zero);
    }

    [Test]
    public void FailedCapture_LeavesNothingBehind()
    {
        using var layer = new Linear(8, 8);
        var x = Tensor.Zeros([4, 8]);
        var before = TestDevice.Current.Memory;
        Assert.That(
            () =>
            {
                using var scope = TensorScope.Begin();
                Graph.Capture(() =>
                {
                    layer.Forward(x).Sum().Backward();
                    throw new InvalidOperationException("mine");
                });
            },
            Throws.InvalidOperationException.With.Message.EqualTo("mine"));
        Assert.That(layer.Weight.Grad, Is.Null, "what never ran has no result");
        var after = TestDevice.Current.Memory;
        Assert.That(
            (after.CurrentBytes, after.GraphBytes, after.LiveTensors), Is.EqualTo((before.CurrentBytes, before.GraphBytes, before.LiveTensors)));
    }

    [Test]
    public void Dispose_GivesTheMemoryBack_AndRefusesLaunches()
    {
        var x = Tensor.Zeros([4096]);
        var before = TestDevice.Current.Memory;
        Graph graph;
        using (TensorScope.Begin())
        {
            graph = Graph.Capture(() => x.CopyFrom(x.Relu() + x));
        }

        Assert.That(TestDevice.Current.Memory.GraphBytes, Is.GreaterThan(before.GraphBytes));
        graph.Dispose();
        graph.Dispose();
        var after = TestDevice.Current.Memory;
        Assert.That((after.CurrentBytes, after.GraphBytes), Is.EqualTo((before.CurrentBytes, before.GraphBytes)));
        Assert.That(graph.Launch, Throws.TypeOf<ObjectDisposedException>());
    }

    [Test]
    public void Graph_ThatIsDropped_IsFreedWhenCollected()
    {
        var x = Tensor.Zeros([1 << 20]);
        long before = TestDevice.Current.Memory.GraphBytes;
        Make(x);
        for (int i = 0; i < 20 && TestDevice.Current.Memory.GraphBytes > before; i++)
        {
            Garbage.Collect();
        }

        Assert.That(TestDevice.Current.Memory.GraphBytes, Is.LessThanOrEqualTo(before));

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        static void Make(Tensor x)
        {
            using var scope = TensorScope.Begin();
            Graph.Capture(() => x.Relu());
        }
    }

    [Test]
    public void Capture_OnAMissingDevice_SaysSo() => Assert.That(
        () => Graph.Capture(() => { }, Device.Cuda(77)),
        Throws.TypeOf<MezzoException>().With.Property(nameof(MezzoException.Status)).EqualTo(MezzoStatus.DeviceUnavailable));

    private static IEnumerable<TestCaseData> DifferentWork()
    {
        TestCaseData Case(string name, Func<Tensor, Tensor, Tensor> first, Func<Tensor, Tensor, Tensor> second) =>
            new TestCaseData(first, second).SetArgDisplayNames(name);
        yield return Case("another op", (x, _) => x.Relu(), (x, _) => x.Sum());
        yield return Case("another tensor", (x, _) => x.Relu(), (_, y) => y.Relu());
        yield return Case("another number", (x, _) => x * 2, (x, _) => x * 3);
        yield return Case("another device factor", (x, y) => x.Scale(1, x.Slice(0, 1).Reshape()), (x, y) => x.Scale(1, y.Slice(0, 1).Reshape()));
        yield return Case("another filling", (x, _) => x + Tensor.Full([4], 1), (x, _) => x + Tensor.Full([4], 2));
        yield return Case("another tensor made inside", (x, y) => Inside(x, y, (a, b) => a + a), (x, y) => Inside(x, y, (a, b) => a + b));
        yield return Case("another part of one made inside", (x, _) => (x * 2).Slice(0, 1), (x, _) => (x * 2).Slice(1, 1));
        yield return Case("another shape", (x, _) => x.Reshape(2, 2), (x, _) => x.Reshape(4, 1));
        yield return Case("another activation", (x, _) => Layer(x, relu: false), (x, _) => Layer(x, relu: true));
        yield return Case("another reduction", (x, y) => Losses.Mse(x, y), (x, y) => Losses.Mse(x, y, Reduction.Sum));
        yield return Case("another dtype", (x, _) => x.To(DType.Float16), (x, _) => x.To(DType.BFloat16));

        static Tensor Inside(Tensor x, Tensor y, Func<Tensor, Tensor, Tensor> combine) => combine(x.Relu(), y.Relu());

        static Tensor Layer(Tensor x, bool relu)
        {
            var rows = x.Reshape(2, 2);
            return relu ? rows.LinearRelu(rows) : rows.Linear(rows);
        }
    }

    [TestCaseSource(nameof(DifferentWork))]
    public void Signature_TellsDifferentWorkApart(Func<Tensor, Tensor, Tensor> first, Func<Tensor, Tensor, Tensor> second)
    {
        var (x, y) = (Tensor.Full([4], 1), Tensor.Full([4], 1));
        var signature = Signature(first, x, y);
        var (again, other) = (Signature(first, x, y), Signature(second, x, y));
        Assert.That((again == signature, other == signature), Is.EqualTo((true, false)));

        static CaptureSignature Signature(Func<Tensor, Tensor, Tensor> work, Tensor x, Tensor y)
        {
            using var scope = TensorScope.Begin();
            using var graph = Graph.Capture(() => work(x, y));
            return graph.Signature;
        }
    }
}
