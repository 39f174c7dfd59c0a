// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>
/// Which samples make up which batch: in each epoch all of them once, in an order that seed and epoch say, and how far it has
/// come. A run that is resumed goes on with the batch that it would have taken next.
/// </summary>
/// <remarks>The order is that of uniform numbers from Philox 4x32-10, with the epoch as the stream: the same on every machine.</remarks>
/// <example><code>
/// var order = new BatchOrder(images.Count, batchSize: 32, seed: 7);
/// using var trainer = new Trainer(adam, new TrainerOptions { SavedParts = [("data", order)] });
/// trainer.Run(Loss, order.Batches(epochs: 10).Select(samples => (images.At(samples), labels.At(samples))));
/// </code></example>
public sealed class BatchOrder : IResumable
{
    private readonly bool _shuffle;
    private readonly bool _dropLast;
    private readonly ulong _seed;

    /// <summary>Begins with the first batch of epoch 0.</summary>
    /// <param name="samples">Number of samples, at least 1.</param>
    /// <param name="batchSize">Samples of a batch, at least 1.</param>
    /// <param name="shuffle">Whether each epoch has an order of its own, and not that of the samples.</param>
    /// <param name="dropLast">Whether the last batch of an epoch is left out where it is smaller than the others.</param>
    /// <param name="seed">Names the orders.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is below 1.</exception>
    /// <exception cref="ArgumentException">An epoch has no batch.</exception>
    public BatchOrder(int samples, int batchSize, bool shuffle = true, bool dropLast = false, ulong seed = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(samples, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(batchSize, 1);
        if (dropLast && batchSize > samples)
        {
            throw new ArgumentException($"The batch size is {batchSize}, expected at most the number of samples, {samples}, as smaller batches are left out.", nameof(batchSize));
        }

        (Samples, BatchSize, _shuffle, _dropLast, _seed) = (samples, batchSize, shuffle, dropLast, seed);
        BatchesPerEpoch = samples / batchSize + (!dropLast && samples % batchSize != 0 ? 1 : 0);
    }

    /// <summary>Number of samples.</summary>
    public int Samples { get; }

    /// <summary>Samples of a batch; the last one of an epoch may have fewer.</summary>
    public int BatchSize { get; }

    /// <summary>Number of batches of an epoch.</summary>
    public int BatchesPerEpoch { get; }

    /// <summary>Epoch of the next batch, from 0.</summary>
    public long Epoch { get; private set; }

    /// <summary>Number of the next batch within its epoch, from 0.</summary>
    public int Batch { get; private set; }

    /// <summary>The batches from the next one on, each as the numbers of its samples.</summary>
    /// <param name="epochs">Number of epochs in all, those that are over included.</param>
    public IEnumerable<int[]> Batches(long epochs)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(epochs);
        return Remaining(epochs);
    }

    /// <inheritdoc/>
    void IResumable.Save(SavedPart part)
    {
        part.Write("order", Description);
        part.Write("epoch", Epoch);
        part.Write("batch", Batch);
    }

    /// <inheritdoc/>
    Action IResumable.Load(SavedPart part)
    {
        part.Expect("order", Description);
        long epoch = part.ReadInt64("epoch", least: 0);
        long batch = part.ReadInt64("batch", least: 0);
        return batch < BatchesPerEpoch
            ? () => (Epoch, Batch) = (epoch, (int)batch)
            : throw part.Refuse("batch", $"is {batch}, expected less than the {BatchesPerEpoch} of an epoch");
    }

    private string Description => FormattableString.Invariant($"{Samples} samples, batch size {BatchSize}, shuffle {_shuffle}, drop last {_dropLast}, seed {_seed}");

    private IEnumerable<int[]> Remaining(long epochs)
    {
        int[] order = [];
        long orderOf = -1;
        while (Epoch < epochs)
        {
            if (orderOf != Epoch)
            {
                (order, orderOf) = (Order(Epoch), Epoch);
            }

            int start = Batch * BatchSize;
            int[] batch = order[start..Math.Min(start + BatchSize, Samples)];

            // Before it is handed out: what is saved after its step goes on with the one behind it.
            (Epoch, Batch) = Batch + 1 == BatchesPerEpoch ? (Epoch + 1, 0) : (Epoch, Batch + 1);
            yield return batch;
        }
    }

    private int[] Order(long epoch)
    {
        int[] order = [.. Enumerable.Range(0, Samples)];
        if (_shuffle)
        {
            using var keys = Tensor.AllocateOwned([Samples], DType.Float64, Device.Cpu);
            Calls.RandomUniform(keys.Handle, 0, 1, new MezzoRandomDesc { Seed = _seed, Stream = (ulong)epoch });
            Array.Sort(keys.ToArray<double>(), order);
        }

        return order;
    }
}
