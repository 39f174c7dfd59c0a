// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Data;

internal sealed class BatchOrderTests
{
    [TestCase(10, 3, false, 4)]
    [TestCase(10, 3, true, 3)]
    [TestCase(9, 3, false, 3)]
    [TestCase(9, 3, true, 3)]
    [TestCase(2, 5, false, 1)]
    [TestCase(1, 1, true, 1)]
    public void Epoch_HasEachSampleOnce(int samples, int batchSize, bool dropLast, int batches)
    {
        var order = new BatchOrder(samples, batchSize, dropLast: dropLast, seed: 3);
        int[][] taken = [.. order.Batches(epochs: 1)];
        Assert.That((taken.Length, order.BatchesPerEpoch), Is.EqualTo((batches, batches)));
        Assert.That(taken.Take(batches - 1).Select(batch => batch.Length), Is.All.EqualTo(batchSize));
        int[] all = [.. taken.SelectMany(batch => batch)];
        Assert.That(all, Is.Unique.And.All.InRange(0, samples - 1));
        Assert.That(all, Has.Length.EqualTo(dropLast ? batches * batchSize : samples));
        Assert.That((order.Epoch, order.Batch), Is.EqualTo((1L, 0)));
    }

    [Test]
    public void Orders_DifferByEpochAndSeed_AndAreTheSameAgain()
    {
        string[] epochs = Orders(seed: 1);
        Assert.That(epochs, Is.Unique);
        Assert.That(Orders(seed: 1), Is.EqualTo(epochs));
        Assert.That(Orders(seed: 2).Intersect(epochs), Is.Empty);

        static string[] Orders(ulong seed) => [.. new BatchOrder(50, 50, seed: seed).Batches(epochs: 5).Select(batch => string.Join(',', batch))];
    }

    [Test]
    public void Order_IsThatOfPhilox_WithTheEpochAsStream()
    {
        var random = new RandomSource(7);
        random.Next();
        using var keys = Tensor.Uniform([20], dtype: DType.Float64, device: Device.Cpu, random: random);
        int[] expected = [.. keys.ToArray<double>().Index().OrderBy(pair => pair.Item).Select(pair => pair.Index)];
        Assert.That(new BatchOrder(20, 20, seed: 7).Batches(epochs: 2).Last(), Is.EqualTo(expected));
    }

    [Test]
    public void Unshuffled_IsTheOrderOfTheSamples()
    {
        int[] all = [.. new BatchOrder(7, 2, shuffle: false).Batches(epochs: 2).SelectMany(batch => batch)];
        Assert.That(all, Is.EqualTo(Enumerable.Range(0, 7).Concat(Enumerable.Range(0, 7))));
    }

    [Test]
    public void BatchesTakenInParts_AreTheSame()
    {
        string[] whole = [.. new BatchOrder(10, 3, seed: 4).Batches(epochs: 3).Select(batch => string.Join(',', batch))];
        var order = new BatchOrder(10, 3, seed: 4);
        var parts = new List<string>();
        while (parts.Count < whole.Length)
        {
            parts.AddRange(order.Batches(epochs: 3).Take(5).Select(batch => string.Join(',', batch)));
        }

        Assert.That(parts, Is.EqualTo(whole));
        Assert.That(order.Batches(epochs: 3), Is.Empty);
    }

    [Test]
    public void NumbersBelowOne_AndEpochsOfNoBatch_AreRefused()
    {
        Assert.That(() => new BatchOrder(0, 1), Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(() => new BatchOrder(1, 0), Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(() => new BatchOrder(3, 4, dropLast: true), Throws.ArgumentException.With.Message.Contain("The batch size is 4, expected at most the number of samples, 3"));
        Assert.That(() => new BatchOrder(3, 4).Batches(-1), Throws.TypeOf<ArgumentOutOfRangeException>());
    }
}
