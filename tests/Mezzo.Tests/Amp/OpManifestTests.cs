// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Amp;

internal sealed class OpManifestTests : TensorFixture
{
    private Sequential _model = null!;

    [SetUp]
    public void MakeAModel()
    {
        _model = new Sequential(new Linear(3, 4), new ReLU(), new Linear(4, 4), new ReLU(), new Linear(4, 2, bias: false));
    }

    [TearDown]
    public void FreeTheModel() => _model.Dispose();

    [Test]
    public void Record_ListsEachOpWithItsDTypes_AndAutocastsCasts()
    {
        var plain = OpManifest.Record(() => Loss());
        var cast = OpManifest.Record(() =>
        {
            using var autocast = Autocast.Enable(DType.BFloat16);
            Loss();
        });

        Assert.Multiple(() =>
        {
            Assert.That(plain.ToString(), Is.EqualTo("linear f32 f32 f32 -> f32 x 2\nlinear f32 f32 none -> f32 x 1\nmse_loss f32 f32 -> f32 x 1\n"));
            Assert.That(cast.ToString(), Is.EqualTo(
                "cast f32 -> bf16 x 1\nlinear bf16 bf16 f32 -> bf16 x 2\nlinear bf16 bf16 none -> bf16 x 1\ncast bf16 -> f32 x 1\nmse_loss f32 f32 -> f32 x 1\n"));
            Assert.That(cast.Entries[1].Count, Is.EqualTo(2));
        });
    }

    [Test]
    public void Diff_ShowsWhatIsOtherwise()
    {
        var input = Input();
        string earlier = OpManifest.Record(() => (input + input).Sum()).ToString();
        var now = OpManifest.Record(() => (input + input + input).Sum());
        Assert.Multiple(() =>
        {
            Assert.That(now.Diff(earlier), Is.EqualTo("- add f32 f32 -> f32 x 1\n+ add f32 f32 -> f32 x 2\n"));
            Assert.That(now.Diff(now.ToString().Replace("\n", "\r\n", StringComparison.Ordinal)), Is.Empty);
        });
    }

    [Test]
    public void Record_Nests_AndEndsWithAnException()
    {
        var input = Input();
        OpManifest inner = null!;
        var outer = OpManifest.Record(() =>
        {
            inner = OpManifest.Record(() => input.Sum());
            Assert.That(() => OpManifest.Record(() => throw new InvalidDataException()), Throws.TypeOf<InvalidDataException>());
            input.Mean();
        });
        input.Sum();
        Assert.That((inner.ToString(), outer.ToString()), Is.EqualTo(("sum f32 -> f32 x 1\n", "sum f32 -> f32 x 1\nmean f32 -> f32 x 1\n")));
    }

    [Test]
    public void Record_FollowsAsyncCode_AndNobodyElses()
    {
        var input = Input();
        Task other = Task.CompletedTask;
        var manifest = OpManifest.Record(() =>
        {
            using (ExecutionContext.SuppressFlow())
            {
                other = Task.Run(() => input.Mean().Dispose());
            }

            Task.Run(() => input.Sum().Dispose()).Wait();
            other.Wait();
        });
        Assert.That(manifest.ToString(), Is.EqualTo("sum f32 -> f32 x 1\n"));
    }

    private static Tensor Input() => Tensor.Full([5, 3], 1);

    private Tensor Loss() => Losses.Mse(_model.Forward(Input()), Tensor.Full([5, 2], 1));
}
