// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Checkpointing;

/// <summary>
/// Outputs of ReLUs that are kept as one bit of each element. That gradients and bytes are right is proven with the other plans, by
/// <see cref="PlannedNet.Rectified"/>.
/// </summary>
internal sealed class ReluMaskTests : TensorFixture
{
    private const int Rows = 64;
    private const int Width = 32;
    private const long OutputBytes = Rows * Width * sizeof(float);
    private const long MaskBytes = Rows * Width / 8;

    /// <summary>A residual block keeps what comes in and a mask, instead of what comes in and the output of its ReLU.</summary>
    [Test]
    public void OutputThatOnlyItsReluKeeps_TakesOneBitOfEachElement([Values(1, 4)] int blocks)
    {
        using var net = new Blocks(blocks);
        var profile = CheckpointProfile.Measure(() => net.Forward(net.Input).Sum());
        long saved = profile.KeepingAll.PredictedActivationBytes - profile.ForSegments(1).PredictedActivationBytes;
        Assert.That(saved, Is.EqualTo(blocks * (OutputBytes - MaskBytes)));
    }

    /// <summary>The next layer keeps the output as its input, so a mask would be one tensor more.</summary>
    [Test]
    public void OutputThatIsKeptAnyway_HasNoMask()
    {
        using var chain = new Sequential(new Linear(Width, Width), new ReLU(), new Linear(Width, Width), new ReLU(), new Linear(Width, Width));
        using var x = Tensor.Full([Rows, Width], 1);
        var profile = CheckpointProfile.Measure(() => chain.Forward(x).Sum());
        Assert.That(profile.ForSegments(1).PredictedActivationBytes, Is.EqualTo(profile.KeepingAll.PredictedActivationBytes));
    }

    [Test]
    public void ValuesThatAreGone_AreNotReadByMistake()
    {
        using var net = new Blocks(2);
        var plan = CheckpointProfile.Measure(() => net.Forward(net.Input).Sum()).ForSegments(1);
        using var scope = TensorScope.Begin();
        Tensor loss;
        using (plan.Enter())
        {
            loss = net.Forward(net.Input).Sum();
        }

        var rectified = net.Rectified[0];
        const string Message = "output of a ReLU, are gone: the checkpointing plan keeps one bit of each";
        Assert.That(() => rectified.ToArray<float>(), Throws.InvalidOperationException.With.Message.Contains(Message));
        Assert.That(() => rectified.Keep(), Throws.InvalidOperationException.With.Message.Contains(Message));
        Assert.That(() => rectified * 2, Throws.InvalidOperationException.With.Message.Contains(Message));
        loss.Backward();
        Assert.That(() => rectified.ToArray<float>(), Throws.TypeOf<ObjectDisposedException>());
    }

    [Test]
    public void KeptOutput_HasItsValues()
    {
        using var net = new Blocks(2) { KeepsRectified = true };
        var profile = CheckpointProfile.Measure(() => net.Forward(net.Input).Sum());
        var plan = profile.ForSegments(1);
        Assert.That(plan.PredictedActivationBytes, Is.EqualTo(profile.KeepingAll.PredictedActivationBytes - OutputBytes), "of which a sum is dropped, but none has a mask");
        float[] expected;
        using (TensorScope.Begin())
        {
            net.Forward(net.Input);
            expected = net.Rectified[1].ToArray<float>();
        }

        using var scope = TensorScope.Begin();
        Tensor loss;
        using (plan.Enter())
        {
            loss = net.Forward(net.Input).Sum();
        }

        loss.Backward();
        Assert.That(net.Rectified[1].ToArray<float>(), Is.EqualTo(expected));
        net.Rectified.ForEach(kept => kept.Dispose());
    }

    /// <summary>Reads that autograd does not see are seen all the same when the step is measured.</summary>
    [Test]
    public void OutputThatIsReadForALog_IsKeptWhole([Values] bool asArray)
    {
        using var net = new Blocks(1);
        var means = new List<double>();
        var profile = CheckpointProfile.Measure(Loss);
        Assert.That(profile.ForSegments(1).PredictedActivationBytes, Is.EqualTo(profile.KeepingAll.PredictedActivationBytes));
        using var scope = TensorScope.Begin();
        using (profile.ForSegments(1).Enter())
        {
            Loss().Backward();
        }

        Assert.That(means, Is.All.EqualTo(means[0]));

        Tensor Loss()
        {
            var loss = net.Forward(net.Input).Sum();
            using var noGrad = NoGrad.Enter();
            means.Add(asArray ? net.Rectified[0].ToArray<float>().Sum() : net.Rectified[0].Mean().Item());
            return loss;
        }
    }

    /// <summary>The ops have the names of those that were measured, but the first one has no ReLU, and another saves its output.</summary>
    [Test]
    public void OutputOfAnotherOpOfThatName_IsNotMasked()
    {
        using var net = new Blocks(2);
        var (first, second) = ((Linear)net.Modules().ElementAt(1), (Linear)net.Modules().ElementAt(2));
        var plan = CheckpointProfile.Measure(() => Loss(true)).ForSegments(1);
        Loss(false).Backward();
        float[] expected = first.Weight.Grad!.ToArray<float>();
        first.Weight.ClearGrad();
        Tensor loss;
        using (plan.Enter())
        {
            loss = Loss(false);
        }

        loss.Backward();
        Assert.That(plan.Difference, Is.Null);
        Assert.That(first.Weight.Grad!.ToArray<float>(), Is.EqualTo(expected));

        Tensor Loss(bool isFirstRectified)
        {
            var a = isFirstRectified ? net.Input.LinearRelu(first.Weight, first.Bias) : net.Input.Linear(first.Weight, first.Bias);
            var b = isFirstRectified ? net.Input.Linear(second.Weight, second.Bias) : net.Input.LinearRelu(second.Weight, second.Bias);
            var gelu = (isFirstRectified ? b : a).Gelu();
            return ((isFirstRectified ? a : b) + gelu).Sum();
        }
    }

    /// <summary>A region of the program's own that makes a tensor once more, in a second backward pass, from what is a mask by then.</summary>
    [Test]
    public void MaskedOutput_IsNoSourceOfWhatIsMadeAgain()
    {
        using var net = new Blocks(1);
        var layer = (Linear)net.Modules().ElementAt(1);
        var plan = CheckpointProfile.Measure(Loss).ForSegments(1);
        using var scope = TensorScope.Begin();
        Tensor loss;
        using (plan.Enter())
        {
            loss = Loss();
        }

        loss.Backward(retainGraph: true);
        Assert.That(() => loss.Backward(), Throws.InvalidOperationException.With.Message.Contains("are gone"));

        Tensor Loss()
        {
            var rectified = net.Input.LinearRelu(layer.Weight, layer.Bias);
            Tensor inside = null!;
            var outside = Checkpoint.Run(() => (inside = rectified * 2) * 3);
            return (inside.Gelu() + rectified + outside).Sum();
        }
    }

    /// <summary>NaN passes the gradient on, as it does without a mask, and both zeros stop it.</summary>
    [Test]
    public void GradientsAtNaNAndZero_AreThoseWithoutAMask()
    {
        using var x = Tensor.Create<float>([.. Enumerable.Range(0, Rows * Width).Select(i => (i % 5) switch { 0 => float.NaN, 1 => 0f, 2 => -0f, 3 => 1f, _ => -1f })], [Rows, Width]);
        x.RequiresGrad = true;
        var plan = CheckpointProfile.Measure(Loss).ForSegments(1);
        Loss().Backward();
        float[] expected = x.Grad!.ToArray<float>();
        x.ClearGrad();
        Tensor loss;
        using (plan.Enter())
        {
            loss = Loss();
        }

        loss.Backward();
        Assert.That(expected.Distinct(), Is.EquivalentTo(new[] { 1f, 2f }));
        Assert.That(x.Grad!.ToArray<float>(), Is.EqualTo(expected));

        Tensor Loss() => ((x * 1.0).Relu() + x).Sum();
    }

    /// <summary>x + ReLU(linear(x)), several times.</summary>
    private sealed class Blocks : Module<Tensor, Tensor>
    {
        private readonly Linear[] _layers;

        public Blocks(int count)
        {
            _layers = [.. Enumerable.Range(0, count).Select(i => Register($"layer{i}", new Linear(Width, Width)))];
            Input = Gradients.IrregularTensor(3, Rows, Width).To(DType.Float32);
        }

        public Tensor Input { get; }

        public bool KeepsRectified { get; init; }

        public List<Tensor> Rectified { get; } = [];

        public override Tensor Forward(Tensor input)
        {
            Rectified.Clear();
            var flowing = input;
            foreach (var layer in _layers)
            {
                Rectified.Add(flowing.LinearRelu(layer.Weight, layer.Bias));
                flowing += KeepsRectified ? Rectified[^1].Keep() : Rectified[^1];
            }

            return flowing;
        }
    }
}
