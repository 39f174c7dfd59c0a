// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Native;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Checkpointing;

/// <summary>What <see cref="Checkpoint.Run{TOutput}"/> keeps, runs once more and refuses.</summary>
internal sealed class CheckpointTests : TensorFixture
{
    [Test]
    public void AfterTheForwardPass_OnlyTheOutputIsLeft()
    {
        var device = TestDevice.Current;
        var leaf = Leaf(64, 64);
        long before = device.SettledBytes();
        var output = Checkpoint.Run(Squashed, leaf);
        Assert.That(device.Memory.CurrentBytes - before, Is.EqualTo(64 * 64 * sizeof(double)));
        output.Backward(output);
        Assert.That(device.Memory.CurrentBytes - before, Is.EqualTo(2 * 64 * 64 * sizeof(double)), "output and gradient");
    }

    [Test]
    public void Peak_IsThatOfTheLargestRegion()
    {
        const long Bytes = 64 * 64 * sizeof(double);
        var device = TestDevice.Current;
        var leaf = Leaf(64, 64);

        // Tensors that are live at most, besides the leaf.
        long Peak(Func<Func<Tensor, Tensor>, Tensor, Tensor> run)
        {
            using var scope = TensorScope.Begin();
            long before = device.SettledBytes();
            device.ResetPeakMemory();
            var flowing = leaf;
            for (int i = 0; i < 4; i++)
            {
                flowing = run(Squashed, flowing);
            }

            flowing.Backward(flowing);
            leaf.ClearGrad();
            return (device.Memory.PeakBytes - before) / Bytes;
        }

        long plain = Peak((function, input) => function(input));
        long checkpointed = Peak(Checkpoint.Run);

        // Each region saves five tensors, of which one is its output. Two are the gradients of an op's output and input.
        Assert.That((plain, checkpointed), Is.EqualTo((4 * 5 + 2, 4 + 4 + 2)));
    }

    /// <summary>
    /// How often each op runs, in order. Ops run once more up to the last one that is needed: the last op's output is kept, so
    /// it runs once.
    /// </summary>
    [TestCase("(aaa)", "221")]
    [TestCase("(aaa)(aa)", "22121")]
    [TestCase("((aaa)a)", "3321", Description = "the inner region's output is the outer's, made once more with it")]
    [TestCase("(a(a(aa)))", "2221", Description = "all outputs are one, so there is nothing to keep inside")]
    [TestCase("(((aa)a)a)", "4321")]
    [TestCase("((aa)(aa)a)", "32321")]
    public void EachOp_RunsOnceMoreForEachRegionAroundIt_ButForWhatIsKept(string form, string expected)
    {
        var ops = new List<CountedTanh>();
        var output = NestedRegions.Run(form, Leaf(3), (_, x) =>
        {
            ops.Add(new CountedTanh());
            return Operation.Apply(ops[^1], x);
        });
        output.Backward(output);
        Assert.That(string.Concat(ops.Select(op => op.Runs)), Is.EqualTo(expected));
    }

    /// <summary>Ops that save other things than their output, in the order in which they run once more.</summary>
    [TestCaseSource(nameof(Ops))]
    public void Op_RunOnceMore_GivesWhatItGave((string Name, Func<Tensor, Tensor> Function) op)
    {
        var leaf = Gradients.IrregularTensor(5, 4, 6);
        leaf.RequiresGrad = true;
        RandomSource.SetDefaultSeed(1);
        op.Function(leaf.Tanh()).Tanh().Tanh().Sum().Backward();
        string plain = Bits(leaf.Grad!);
        leaf.ClearGrad();
        RandomSource.SetDefaultSeed(1);
        Checkpoint.CheckValuesEvery = 1;
        try
        {
            Checkpoint.Run(x => op.Function(x.Tanh()).Tanh().Tanh(), leaf).Sum().Backward();
        }
        finally
        {
            Checkpoint.CheckValuesEvery = 0;
        }

        Assert.That(Bits(leaf.Grad!), Is.EqualTo(plain));
    }

    [Test]
    public void EachOperation_IsAmongThoseRunOnceMore()
    {
        var leaf = Leaf(4, 6);
        var applied = new AppliedOperations();
        using (applied.Install())
        {
            foreach (var (_, function) in Ops())
            {
                function(leaf);
            }
        }

        var all = typeof(Operation).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(Operation)) && !type.IsAbstract);
        Assert.That(all.Except(applied.Types), Is.Empty);
    }

    private static IEnumerable<(string Name, Func<Tensor, Tensor> Function)> Ops()
    {
        static Tensor Vector(int seed) => Gradients.IrregularTensor(seed, 6);

        return
        [
            ("add", x => x + x.Sigmoid()),
            ("batch_norm", x => x.BatchNorm(null, null, Vector(1), Vector(2), training: true)),
            ("batch_norm, predicting", x => x.BatchNorm(Vector(1), Tensor.Full([6], 0.5, DType.Float64), Vector(3), Vector(4))),
            ("binary_cross_entropy", x => Losses.BinaryCrossEntropyWithLogits(x, Tensor.Full([4, 6], 0.3, DType.Float64))),
            ("cast", x => x.To(DType.Float32).To(DType.Float64)),
            ("concat", x => Tensor.Concat([x.Gelu(), x.Silu()], dim: 1)),
            ("cross_entropy", x => Losses.CrossEntropy(x, Tensor.Create<long>([0, 3, 5, 1], [4]))),
            ("dropout", x => x.Dropout(0.4)),
            ("embedding", x => x.Embedding(Tensor.Create<long>([3, 0, 0], [3]))),
            ("layer_norm", x => x.LayerNorm([6], Vector(1), Vector(2))),
            ("linear", x => x.LinearRelu(Gradients.IrregularTensor(3, 5, 6), Gradients.IrregularTensor(4, 5))),
            ("log_softmax", x => x.LogSoftmax()),
            ("matmul", x => x.MatMul(x, transposeThis: true)),
            ("mean", x => x.Mean()),
            ("mse_loss", x => Losses.Mse(x, Tensor.Full([4, 6], 0.3, DType.Float64))),
            ("relu", x => x.Relu()),
            ("reshape", x => x.Reshape(6, 4).Tanh().Slice(1, 3)),
            ("rms_norm", x => x.RmsNorm([6], Vector(1))),
            ("scale", x => x.Scale(0.5, Tensor.Full([], 3, DType.Float64))),
            ("softmax", x => x.Softmax()),
            ("sum", x => x.Sum() * 0.1),
        ];
    }

    /// <summary>The region's ops read it once more, and it is the program's.</summary>
    [Test]
    public void KeptTensor_ThatIsDisposedOf_StaysAsLongAsOthersAreMadeFromIt()
    {
        var leaf = Leaf(4);
        Tensor? leaked = null;
        var output = Checkpoint.Run(
            x =>
            {
                leaked = x + x;
                return leaked.Tanh().Tanh();
            },
            leaf);
        leaked!.Keep().Dispose();
        output.Sum().Backward();
        string gradient = Bits(leaf.Grad!);
        leaf.ClearGrad();
        (leaf + leaf).Tanh().Tanh().Sum().Backward();
        Assert.That((leaked.IsDisposed, gradient), Is.EqualTo((true, Bits(leaf.Grad!))));
    }

    /// <summary>What a region reads is let go of when nothing of the region is left, whether or not a backward pass came.</summary>
    [TestCase("none")]
    [TestCase("retained")]
    [TestCase("of one output")]
    [TestCase("of none, in a failed region")]
    public void Input_IsFreed_WhenTheRegionsTensorsAre(string backward)
    {
        var device = TestDevice.Current;
        var weight = Leaf(64);
        var input = Leaf(64);
        long bytes = device.SettledBytes();
        using (TensorScope.Begin())
        {
            try
            {
                var (first, second) = Checkpoint.Run(
                    x =>
                    {
                        var products = (x.Tanh().Tanh() + weight).Tanh();
                        return backward.Contains("failed") ? throw new NotSupportedException() : (products.Sum(), x.Sigmoid().Sigmoid().Sum());
                    },
                    input);
                if (backward != "none")
                {
                    (backward == "retained" ? first + second : first).Backward(retainGraph: backward == "retained");
                }
            }
            catch (NotSupportedException)
            {
                // as told
            }
        }

        weight.ClearGrad();
        input.ClearGrad();
        input.Dispose();
        Assert.That((input.IsDisposed, device.Memory.CurrentBytes), Is.EqualTo((true, bytes - (64 * sizeof(double)))));
    }

    [Test]
    public void SeveralInputsAndOutputs_AndWhatIsTakenFromAround_HaveTheirGradients()
    {
        var (a, b, c) = (Leaf(4), Leaf(4), Leaf(4));
        b.Write<double>([1, -0.5, 0.2, 0.7]);
        c.Write<double>([0.1, 0.9, -2, 0.4]);
        (Tensor Sum, (Tensor Product, int Number, Tensor Unused)) Function(Tensor x, Tensor y) =>
            ((x + y).Tanh() + c, (x.Sigmoid().MatMul(y.Tanh()), 7, x.Gelu()));
        var plain = GradientsOf(Function, a, b, c);
        var checkpointed = GradientsOf((x, y) => Checkpoint.Run(Function, x, y), a, b, c);
        Assert.That(checkpointed, Is.EqualTo(plain));

        static string GradientsOf(Func<Tensor, Tensor, (Tensor, (Tensor, int Number, Tensor))> function, params Tensor[] leaves)
        {
            var (sum, (product, number, _)) = function(leaves[0], leaves[1]);
            Assert.That(number, Is.EqualTo(7));
            (sum.Sum() + product).Backward();
            return string.Join(' ', leaves.Select(leaf =>
            {
                string bits = Bits(leaf.Grad!);
                leaf.ClearGrad();
                return bits;
            }));
        }
    }

    [Test]
    public void Gradients_MatchFiniteDifferences() => Gradients.AssertMatchFiniteDifferences(
        tensors => Checkpoint.Run((x, y) => Checkpoint.Run(Squashed, x).MatMul(y.Tanh()).Softmax(), tensors[0], tensors[1]),
        Gradients.IrregularTensor(1, 3, 4),
        Gradients.IrregularTensor(2, 4, 5));

    /// <summary>It is not run again, so it may be of any kind.</summary>
    [Test]
    public void Function_IsCalledOnce_EvenIfItIsNotDeterministic()
    {
        int calls = 0;
        var leaf = Leaf(4);
        var output = Checkpoint.Run(x => (x.Tanh() * ++calls).Tanh().Tanh(), leaf);
        output.Sum().Backward();
        string gradient = Bits(leaf.Grad!);
        leaf.ClearGrad();
        (leaf.Tanh() * 1).Tanh().Tanh().Sum().Backward();
        Assert.That((calls, gradient), Is.EqualTo((1, Bits(leaf.Grad!))));
    }

    [Test]
    public void RetainedGraph_IsRecomputedForEachPass_AndFreedInBetween()
    {
        var device = TestDevice.Current;
        var leaf = Leaf(64, 64);
        long before = device.SettledBytes();
        var output = Checkpoint.Run(x => Checkpoint.Run(Squashed, x).Tanh().Tanh(), leaf);
        string? first = null;
        for (int pass = 0; pass < 3; pass++)
        {
            output.Backward(output, retainGraph: pass < 2);
            Assert.That(device.Memory.CurrentBytes - before, Is.EqualTo(2 * 64 * 64 * sizeof(double)), "output and gradient");
            first ??= Bits(leaf.Grad!);
            Assert.That(Bits(leaf.Grad!), Is.EqualTo(first));
            leaf.ClearGrad();
        }
    }

    [Test]
    public void TwoLosses_OfOneRegion_HaveTheirGradients()
    {
        var leaf = Leaf(4);
        var (a, b) = Checkpoint.Run(
            x =>
            {
                var trunk = x.Tanh().Tanh();
                return (trunk.Tanh(), trunk.Sigmoid().Tanh());
            },
            leaf);
        a.Sum().Backward(retainGraph: true);
        b.Sum().Backward();
        string both = Bits(leaf.Grad!);
        leaf.ClearGrad();
        var plain = leaf.Tanh().Tanh();
        plain.Tanh().Sum().Backward(retainGraph: true);
        plain.Sigmoid().Tanh().Sum().Backward();
        Assert.That(both, Is.EqualTo(Bits(leaf.Grad!)));
    }

    [Test]
    public void Backward_Twice_SaysThatTheGraphIsGone()
    {
        var output = Checkpoint.Run(Squashed, Leaf(4)).Sum();
        output.Backward();
        Assert.That(() => output.Backward(), Throws.InvalidOperationException.With.Message.Contains("a second time"));
    }

    [Test]
    public void Intermediate_ThatLeftTheFunction_ComesBackWhenItIsRead()
    {
        Tensor? leaked = null;
        var leaf = Leaf(4);
        var output = Checkpoint.Run(x => (leaked = x.Tanh()).Tanh().Tanh(), leaf);
        Assert.That((leaked!.IsDropped, Bits(leaked)), Is.EqualTo((true, Bits(leaf.Tanh()))));
        output.Sum().Backward();
        Assert.That(leaf.Grad, Is.Not.Null);
    }

    [Test]
    public void Intermediate_ThatTheFunctionDisposesOf_IsMadeOnceMore()
    {
        var leaf = Leaf(4);
        var output = Checkpoint.Run(
            x =>
            {
                using var sum = x + x;
                return sum.Tanh().Tanh();
            },
            leaf);
        output.Sum().Backward();
        string gradient = Bits(leaf.Grad!);
        leaf.ClearGrad();
        (leaf + leaf).Tanh().Tanh().Sum().Backward();
        Assert.That(gradient, Is.EqualTo(Bits(leaf.Grad!)));
    }

    [Test]
    public void Intermediate_ThatIsChangedInPlace_IsKept()
    {
        var leaf = Leaf(4);
        var output = Checkpoint.Run(
            x =>
            {
                var sum = x + x;
                sum.Fill(2);
                return sum.Sigmoid().Tanh().Tanh();
            },
            leaf);
        output.Sum().Backward();
        double slope = Slope(2) / 2;
        Assert.That(Values(leaf.Grad!), Is.All.EqualTo(2 * 2 * slope).Within(1e-15));

        // d/ds tanh(tanh(sigmoid(s)))
        static double Slope(double s)
        {
            double sigmoid = 1 / (1 + Math.Exp(-s));
            double inner = Math.Tanh(sigmoid);
            double outer = Math.Tanh(inner);
            return sigmoid * (1 - sigmoid) * (1 - (inner * inner)) * (1 - (outer * outer));
        }
    }

    [Test]
    public void SavedIntermediate_ThatIsChangedInPlace_IsRefusedAsWithoutCheckpointing()
    {
        var output = Checkpoint.Run(
            x =>
            {
                var tanh = x.Tanh();
                var result = tanh.Tanh().Tanh();
                tanh.Fill(1);
                return result;
            },
            Leaf(4));
        Assert.That(() => output.Sum().Backward(), Throws.InvalidOperationException.With.Message.Contains("the gradient of tanh has been modified by an inplace operation"));
    }

    [Test]
    public void Input_ThatIsChangedInPlaceAfterwards_IsRefused()
    {
        var leaf = Leaf(4);
        var input = leaf.Detach();
        input.RequiresGrad = true;
        var output = Checkpoint.Run(x => (x + x).Tanh().Tanh(), input);
        leaf.Fill(1); // the same elements
        Assert.That(
            () => output.Sum().Backward(),
            Throws.InvalidOperationException.With.Message.EqualTo(
                "One of the tensors needed for recomputing add has been modified by an inplace operation: f64[4] is at version 2; expected version 1 instead."));
    }

    [Test]
    public void Parameter_ThatIsSteppedBeforeTheBackwardPass_IsRefused()
    {
        var layer = new Linear(4, 4);
        var output = Checkpoint.Run(x => layer.Forward(x).Tanh().Tanh(), Leaf(2, 4).To(DType.Float32));
        layer.Weight.Fill(1);
        Assert.That(() => output.Sum().Backward(), Throws.InvalidOperationException.With.Message.Contains("recomputing linear has been modified"));
    }

    [Test]
    public void WhatIsReturned_MustHoldATensor()
    {
        Assert.That(() => Checkpoint.Run(x => x.Rank, Leaf(4)), Throws.ArgumentException.With.Message.Contains("returned a Int32 without a tensor, expected a tensor, or a tuple or list of tensors"));
        Assert.That(() => Checkpoint.Run<Tensor?>(() => null), Throws.ArgumentException.With.Message.Contains("returned null"));
        Assert.That(() => Checkpoint.Run((Func<Tensor>)null!), Throws.ArgumentNullException);
    }

    [Test]
    public void FunctionThatThrows_LeavesEverythingAsItWas()
    {
        var leaf = Leaf(4);
        Tensor? made = null;
        Assert.That(
            () => Checkpoint.Run<Tensor>(() =>
            {
                made = leaf.Tanh().Tanh();
                throw new NotSupportedException("no");
            }),
            Throws.TypeOf<NotSupportedException>());
        made!.Sum().Backward();
        Assert.That(leaf.Grad, Is.Not.Null);

        // Regions that follow are dropped as ever.
        AfterTheForwardPass_OnlyTheOutputIsLeft();
    }

    [Test]
    public void WithoutRecording_TheFunctionJustRuns()
    {
        using var noGrad = NoGrad.Enter();
        var (a, b) = (Leaf(4), 0);
        Assert.That(Checkpoint.Run(x => (x.Tanh(), ++b), a).Item1.RequiresGrad, Is.False);
        Assert.That(Checkpoint.Run(() => 5), Is.EqualTo(5), "there is nothing to recompute, so nothing to ask of the result");
    }

    [Test]
    public void TensorsOfAFreedStep_AreSaidToBeFreed()
    {
        Tensor loss;
        using (TensorScope.Begin())
        {
            loss = Checkpoint.Run(x => (x + x).Tanh().Tanh(), Leaf(4)).Sum().Keep();
        }

        Assert.That(() => loss.Backward(), Throws.TypeOf<ObjectDisposedException>().With.Message.Contains("has been freed"));
    }

    [Test]
    public void OutOfMemory_InTheBackwardPass_IsTold_AndNothingStaysBehind()
    {
        var device = TestDevice.Current;
        var leaf = Leaf(64, 64);
        device.TrimMemory();
        long before;
        using (TensorScope.Begin())
        {
            var output = Checkpoint.Run(Squashed, leaf);
            before = device.SettledBytes();
            device.TrimMemory();
            device.SetMemoryLimit(before + (3 * 64 * 64 * sizeof(double)));
            try
            {
                Assert.That(() => output.Backward(output), Throws.TypeOf<MezzoException>().With.Property("Status").EqualTo(MezzoStatus.OutOfMemory));
            }
            finally
            {
                device.SetMemoryLimit(0);
            }
        }

        leaf.ClearGrad();
        Assert.That(device.Memory.CurrentBytes, Is.EqualTo(before - (64 * 64 * sizeof(double))));
    }

    /// <summary>Saves five tensors, the last of which is its output.</summary>
    private static Tensor Squashed(Tensor x) => x.Tanh().Tanh().Tanh().Tanh().Tanh();

    private static Tensor Leaf(params long[] shape)
    {
        var leaf = Gradients.IrregularTensor(shape.Length, shape);
        leaf.RequiresGrad = true;
        return leaf;
    }

    /// <summary>Notes which ops are applied.</summary>
    private sealed class AppliedOperations : TapeObserver
    {
        public HashSet<Type> Types { get; } = [];

        public override void BeforeForward(Operation operation) => Types.Add(operation.GetType());
    }

    /// <summary>tanh that counts how often its forward pass runs.</summary>
    private sealed class CountedTanh : ActivationOperation
    {
        public int Runs { get; private set; }

        public override string Name => "tanh";

        protected override bool SavesOutput => true;

        protected override void RunForward(MezzoTensor output, MezzoTensor input)
        {
            Runs++;
            Calls.TanhForward(output, input);
        }

        protected override void RunBackward(MezzoTensor gradInput, MezzoTensor gradOutput, MezzoTensor saved) =>
            Calls.TanhBackward(gradInput, gradOutput, saved);
    }
}
