// SPDX-License-Identifier: MIT
using Mezzo.Autograd;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Amp;

/// <summary>
/// Each op under autocast against PyTorch's lists for CUDA: "Autocast Op Reference" of torch.amp's documentation, whose lists are
/// the macros AT_FORALL_LOWER_PRECISION_FP, AT_FORALL_FP32, AT_FORALL_FP32_SET_OPT_DTYPE and AT_FORALL_PROMOTE of its sources.
/// </summary>
internal sealed class AutocastListsTests : TensorFixture
{
    /// <summary>What a list does.</summary>
    public enum Listed
    {
        /// <summary>Runs in autocast's dtype: linear, matmul.</summary>
        LowPrecision,

        /// <summary>Runs in f32, and gives f32 for 16-bit inputs too: norms, softmax, losses, sum.</summary>
        Float32,

        /// <summary>Runs in the widest dtype of its inputs: cat; and add, by PyTorch's own promotion of types.</summary>
        Widest,

        /// <summary>On no list, so in the dtype of its inputs: ReLU, dropout, batch_norm, embedding.</summary>
        Unlisted,

        /// <summary>Made by hand, in whatever dtype is asked for.</summary>
        Cast,
    }

    /// <summary>The ops by the name of their class, PyTorch's name for each, its list, and a call with inputs of a dtype.</summary>
    private static readonly (string Op, string Torch, Listed List, Func<DType, Tensor> Run)[] Table =
    [
        ("Linear", "linear", Listed.LowPrecision, dtype => In(dtype, 2, 3).Linear(In(dtype, 4, 3), In(dtype, 4))),
        ("MatMul", "matmul, bmm", Listed.LowPrecision, dtype => In(dtype, 2, 3).MatMul(In(dtype, 3, 4))),
        ("LayerNorm", "layer_norm", Listed.Float32, dtype => In(dtype, 2, 4).LayerNorm([4])),
        ("RmsNorm", "rms_norm", Listed.Float32, dtype => In(dtype, 2, 4).RmsNorm([4])),
        ("Softmax", "softmax", Listed.Float32, dtype => In(dtype, 2, 4).Softmax()),
        ("LogSoftmax", "log_softmax", Listed.Float32, dtype => In(dtype, 2, 4).LogSoftmax()),
        ("Sum", "sum", Listed.Float32, dtype => In(dtype, 2, 4).Sum()),
        ("MseLoss", "mse_loss", Listed.Float32, dtype => Losses.Mse(In(dtype, 4), In(dtype, 4))),
        ("CrossEntropy", "cross_entropy_loss", Listed.Float32, dtype => Losses.CrossEntropy(In(dtype, 2, 4), Tensor.Create([1, 2], [2]))),
        ("BinaryCrossEntropy", "binary_cross_entropy_with_logits", Listed.Float32, dtype => Losses.BinaryCrossEntropyWithLogits(In(dtype, 4), In(dtype, 4))),
        ("Concat", "cat", Listed.Widest, dtype => Tensor.Concat([In(dtype, 4), In(dtype, 4)])),
        ("Add", "add", Listed.Widest, dtype => In(dtype, 4) + In(dtype, 4)),
        ("Relu", "relu", Listed.Unlisted, dtype => In(dtype, 4).Relu()),
        ("Gelu", "gelu", Listed.Unlisted, dtype => In(dtype, 4).Gelu()),
        ("Silu", "silu", Listed.Unlisted, dtype => In(dtype, 4).Silu()),
        ("Tanh", "tanh", Listed.Unlisted, dtype => In(dtype, 4).Tanh()),
        ("Sigmoid", "sigmoid", Listed.Unlisted, dtype => In(dtype, 4).Sigmoid()),
        ("Dropout", "dropout", Listed.Unlisted, dtype => In(dtype, 4).Dropout(0.5)),
        ("BatchNorm", "batch_norm", Listed.Unlisted, dtype => In(dtype, 2, 4).BatchNorm(null, null)),
        ("Embedding", "embedding", Listed.Unlisted, dtype => In(dtype, 2, 4).Embedding(Tensor.Create([1, 0], [2]))),
        ("Scale", "mul", Listed.Unlisted, dtype => In(dtype, 4).Scale(2)),
        ("Reshape", "reshape", Listed.Unlisted, dtype => In(dtype, 4).Reshape(2, 2)),
        ("Slice", "slice", Listed.Unlisted, dtype => In(dtype, 4).Slice(1, 2)),

        // PyTorch's mean of 16-bit numbers is 16 bits wide; this one is f32 with autocast and without, as the sum is.
        ("Mean", "mean", Listed.Float32, dtype => In(dtype, 2, 4).Mean()),
        ("Cast", "to", Listed.Cast, dtype => In(dtype, 4).To(DType.Float64)),
    ];

    private static IEnumerable<TestCaseData> Cases => Table.Select(row => new TestCaseData(row.List, row.Run).SetName($"Autocast_{row.Op}_IsPyTorchs_{row.Torch.Replace(", ", "_", StringComparison.Ordinal)}"));

    [TestCaseSource(nameof(Cases))]
    public void Op_RunsInTheDTypeOfItsList(Listed list, Func<DType, Tensor> run)
    {
        foreach (var active in new[] { DType.Float16, DType.BFloat16 })
        {
            using var autocast = Autocast.Enable(active);
            foreach (var given in new[] { DType.Float32, active, DType.Float64 })
            {
                var expected = (list, given) switch
                {
                    (Listed.Cast, _) or (_, DType.Float64) => DType.Float64,
                    (Listed.LowPrecision, _) => active,
                    (Listed.Float32, _) => DType.Float32,
                    _ => given,
                };
                Assert.That(run(given).DType, Is.EqualTo(expected), $"{given} under autocast to {active}");
            }

            using var off = Autocast.Enable(active, enabled: false);
            Assert.That(run(DType.Float64).DType, Is.EqualTo(DType.Float64));
        }
    }

    [Test]
    public void Widest_OfMixedInputs_IsF32()
    {
        using var autocast = Autocast.Enable(DType.Float16);
        var (half, wide) = (In(DType.Float16, 4), In(DType.Float32, 4));
        Assert.That((half + wide).DType, Is.EqualTo(DType.Float32));
        Assert.That(Tensor.Concat([wide, half]).DType, Is.EqualTo(DType.Float32));
    }

    [Test]
    public void BinaryCrossEntropyOfProbabilities_IsBanned()
    {
        using var autocast = Autocast.Enable(DType.Float16);
        Assert.That(
            () => Losses.BinaryCrossEntropy(In(DType.Float32, 4), In(DType.Float32, 4)), Throws.InvalidOperationException.With.Message.Contains("WithLogits"));
    }

    [Test]
    public void EveryOp_IsInTheTable()
    {
        var words = typeof(Operation).Assembly.GetTypes()
            .Where(type => type.IsSubclassOf(typeof(Operation)) && !type.IsAbstract)
            .Select(type => type.Name[..^nameof(Operation).Length]);
        Assert.That(Table.Select(row => row.Op), Is.EquivalentTo(words));
    }

    /// <summary>What autocast had cast is given by the same op on inputs that were cast by hand.</summary>
    [TestCase(DType.Float16)]
    [TestCase(DType.BFloat16)]
    public void Results_AreThoseOfInputsCastByHand(DType active)
    {
        foreach (var (op, _, list, run) in Table.Where(row => row.Op is not ("Dropout" or "Embedding" or "CrossEntropy")))
        {
            RandomSource.SetDefaultSeed(5);
            double[] expected = Values(run(list == Listed.LowPrecision ? active : DType.Float32));
            RandomSource.SetDefaultSeed(5);
            using var autocast = Autocast.Enable(active);
            Assert.That(Values(run(DType.Float32)), Is.EqualTo(expected), op);
        }
    }

    [Test]
    public async Task Region_HoldsAcrossAwaits_AndThreads_AndIsRestored()
    {
        using (Autocast.Enable(DType.BFloat16))
        {
            Assert.That(await OnAnotherThread(), Is.EqualTo(DType.BFloat16));
            using (Autocast.Enable(DType.Float16))
            {
                await Task.Yield();
                Assert.That(await OnAnotherThread(), Is.EqualTo(DType.Float16));
            }

            // What an async method enables for itself stays inside it, whatever thread it goes on with.
            await Inner();
            Assert.That(Product().DType, Is.EqualTo(DType.BFloat16));
            var branches = await Task.WhenAll(Enumerable.Range(0, 8).Select(Branch));
            Assert.That(branches, Is.EqualTo(Enumerable.Range(0, 8).Select(i => i % 2 == 0 ? DType.Float16 : DType.BFloat16)));
        }

        Assert.That(await OnAnotherThread(), Is.EqualTo(DType.Float32));

        static async Task Inner()
        {
            using var autocast = Autocast.Enable(DType.Float16);
            await Task.Yield();
            Assert.That(Product().DType, Is.EqualTo(DType.Float16));
        }

        static async Task<DType> Branch(int i)
        {
            using var autocast = Autocast.Enable(DType.Float16, enabled: true);
            using var inner = i % 2 == 0 ? null : Autocast.Enable(DType.BFloat16);
            await Task.Delay(1);
            return Product().DType;
        }

        static Task<DType> OnAnotherThread() => Task.Run(() => Product().DType);

        static Tensor Product() => In(DType.Float32, 2, 3).MatMul(In(DType.Float32, 3, 2));
    }

    private static Tensor In(DType dtype, params long[] shape)
    {
        using var off = Autocast.Enable(DType.Float16, enabled: false);
        return Tensor.Uniform(shape, 0.1, 0.9).To(dtype);
    }
}
