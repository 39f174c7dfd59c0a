// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Checkpointing;

/// <summary><see cref="Checkpoint.Sequential"/>: where it cuts, what it keeps, and that it changes nothing.</summary>
internal sealed class CheckpointSequentialTests : TensorFixture
{
    private const int Rows = 64;

    /// <summary>PyTorch's checkpoint_sequential gives its last segment all that is left over: 9 modules in 5 segments are 1, 1, 1, 1, 5.</summary>
    [TestCase(9, 5, SegmentSplit.Torch, "1 1 1 1 5")]
    [TestCase(5, 2, SegmentSplit.Torch, "2 3")]
    [TestCase(9, 5, SegmentSplit.Balanced, "1 2 2 2 2")]
    [TestCase(5, 2, SegmentSplit.Balanced, "2 3")]
    [TestCase(4, 1, SegmentSplit.Balanced, "4")]
    [TestCase(4, 4, SegmentSplit.Balanced, "1 1 1 1")]
    [TestCase(4, 4, SegmentSplit.Torch, "1 1 1 1")]
    public void Segments_OfEqualModules(int modules, int segments, SegmentSplit split, string expected)
    {
        var chain = Enumerable.Range(0, modules).Select(_ => new Recorded()).ToArray();
        Assert.That(SegmentsOf(chain, segments, split), Is.EqualTo(expected));
    }

    [Test]
    public void BalancedSegments_SaveAboutTheSameBytes()
    {
        // The wide one saves as much as all others together.
        Recorded[] chain = [new(), new(), new(), new(), new(repeats: 8), new(), new(), new(), new()];
        Assert.That(SegmentsOf(chain, 3, SegmentSplit.Balanced), Is.EqualTo("4 1 4"));
    }

    [TestCase("1 1 1 1 1 1 1 1 1", 5, "0 1 3 5 7")]
    [TestCase("5 1 1 1 1 1", 2, "0 1")]
    [TestCase("1 1 1 1 1 5", 3, "0 1 5")]
    [TestCase("0 0 0", 3, "0 1 2")]
    [TestCase("7", 1, "0")]
    public void Starts_AreThoseOfTheLightestHeaviestPart(string weights, int parts, string expected)
    {
        long[] numbers = [.. weights.Split(' ').Select(long.Parse)];
        Assert.That(string.Join(' ', BalancedSplit.Starts(numbers, parts)), Is.EqualTo(expected));
    }

    /// <summary>Against all ways to split.</summary>
    [Test]
    public void Starts_AreBest_OfAllThereAre([Range(1, 7)] int count, [Values(1, 2, 3)] int seed)
    {
        var random = new Random(seed);
        long[] weights = [.. Enumerable.Range(0, count).Select(_ => (long)random.Next(6))];
        for (int parts = 1; parts <= count; parts++)
        {
            var all = Splits(count, parts).Select(starts => (Heaviest: Heaviest(weights, starts), Last: starts[^1])).ToArray();
            long least = all.Min(split => split.Heaviest);
            int[] actual = BalancedSplit.Starts(weights, parts);
            Assert.That((Heaviest(weights, actual), actual[^1]), Is.EqualTo((least, all.Where(split => split.Heaviest == least).Min(split => split.Last))), $"{string.Join(' ', weights)} in {parts}");
        }

        static long Heaviest(long[] weights, int[] starts) => starts.Zip(starts.Skip(1).Append(weights.Length), (start, end) => weights[start..end].Sum()).Max();

        static IEnumerable<int[]> Splits(int count, int parts) => parts == 1
            ? [[0]]
            : from last in Enumerable.Range(parts - 1, count - parts + 1) from before in Splits(last, parts - 1) select (int[])[.. before, last];
    }

    /// <summary>
    /// Of 8 layers, each of which saves its output, in 4 segments: the 3 outputs between segments, and those of the 2 layers of the
    /// last one.
    /// </summary>
    [Test]
    public void AfterTheForwardPass_WhatIsBetweenSegments_AndTheLastOne_AreLeft()
    {
        const int Bytes = Rows * Rows * sizeof(float);
        var device = TestDevice.Current;
        Module<Tensor, Tensor>[] modules = [.. Enumerable.Range(0, 8).SelectMany(_ => new Module<Tensor, Tensor>[] { new Linear(Rows, Rows), new Tanh() })];
        var input = Gradients.IrregularTensor(1, Rows, Rows).To(DType.Float32);

        // The first call measures what the modules save, so that the second one can cut evenly.
        Checkpoint.Sequential(modules, 4, input).Sum().Backward();
        foreach (var parameter in modules.SelectMany(module => module.Parameters()))
        {
            parameter.ClearGrad();
        }

        long before = device.SettledBytes();
        var output = Checkpoint.Sequential(modules, 4, input);
        Assert.That(device.Memory.CurrentBytes - before, Is.EqualTo((3 + 2) * Bytes));
        GC.KeepAlive(output);
    }

    [Test]
    public void Training_IsBitIdentical_InAnyNumberOfSegments([Values] Precision precision, [Values] SegmentSplit split)
    {
        string plain = Train(0);
        for (int segments = 1; segments <= 7; segments++)
        {
            Assert.That(Train(segments), Is.EqualTo(plain), $"{segments} segments");
        }

        string Train(int segments)
        {
            RandomSource.SetDefaultSeed(2);
            Module<Tensor, Tensor>[] modules = [new Linear(3, 8), new ReLU(), new Dropout(0.2), new Linear(8, 8), new ReLU(), new Linear(8, 8), new Linear(8, 2)];
            var chain = new Sequential(modules);
            using var adam = new Adam(chain.Parameters());
            using var trainer = new Trainer(adam, new TrainerOptions { Precision = precision, LogEvery = 0 });
            var (x, y) = (Gradients.IrregularTensor(1, 6, 3).To(DType.Float32), Gradients.IrregularTensor(2, 6, 2).To(DType.Float32));
            var losses = Enumerable.Range(0, 4).Select(_ => trainer.Step(() => Losses.Mse(
                segments == 0 ? chain.Forward(x) : Checkpoint.Sequential(modules, segments, x, split), y)).Loss).ToArray();
            return $"{string.Join(' ', losses.Select(BitConverter.DoubleToInt64Bits))}\n{string.Join('\n', chain.Parameters().Select(Bits))}";
        }
    }

    [Test]
    public void BadSegments_AreRefused([Values(0, -1, 3)] int segments)
    {
        Module<Tensor, Tensor>[] modules = [new Linear(3, 3), new ReLU()];
        Assert.That(
            () => Checkpoint.Sequential(modules, segments, Tensor.Zeros([1, 3])),
            Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("The number of segments must be from 1 to that of the modules, 2"));
        Assert.That(() => Checkpoint.Sequential([], 1, Tensor.Zeros([1, 3])), Throws.ArgumentException.With.Message.Contains("There are no modules"));
        Assert.That(() => Checkpoint.Sequential(modules, 1, Tensor.Zeros([1, 3]), (SegmentSplit)7), Throws.TypeOf<ArgumentOutOfRangeException>());
    }

    /// <summary>Numbers of modules that ran in one region, segment by segment, in the second call: the first one measures what they save.</summary>
    private static string SegmentsOf(Recorded[] chain, int segments, SegmentSplit split)
    {
        var input = Gradients.IrregularTensor(1, Rows, Rows);
        input.RequiresGrad = true;
        Checkpoint.Sequential(chain, segments, input, split);
        Checkpoint.Sequential(chain, segments, input, split);
        var lengths = new List<int>();
        for (int i = 0; i < chain.Length; i++)
        {
            if (i > 0 && chain[i].Region == chain[i - 1].Region)
            {
                lengths[^1]++;
            }
            else
            {
                lengths.Add(1);
            }
        }

        return string.Join(' ', lengths);
    }

    /// <summary>tanh, so many times, that notes the region it runs in.</summary>
    private sealed class Recorded(int repeats = 1) : Module<Tensor, Tensor>
    {
        public CheckpointRegion? Region { get; private set; }

        public override Tensor Forward(Tensor input)
        {
            Region = CheckpointRegion.Current;
            for (int i = 0; i < repeats; i++)
            {
                input = input.Tanh();
            }

            return input;
        }
    }
}
