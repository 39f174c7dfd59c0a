// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>Which tensors of a step are in memory at a point of it, and how many bytes that takes.</summary>
internal sealed class SimulatedMemory(TapeRecord record)
{
    private readonly bool[] _isThere = new bool[record.Tensors.Count];
    private readonly int[] _users = new int[record.Tensors.Count]; // of each storage

    /// <summary>Bytes now.</summary>
    public long Live { get; private set; } = record.BytesBefore;

    /// <summary>Most bytes so far.</summary>
    public long Peak { get; private set; } = record.BytesBefore;

    /// <summary>Whether a tensor is there.</summary>
    public bool Has(int tensor) => _isThere[tensor];

    /// <summary>Notes that so many bytes more were live for a while.</summary>
    public void Reach(long bytes) => Peak = Math.Max(Peak, Live + bytes);

    /// <summary>Adds bytes of something else than tensors of the step, or takes them away.</summary>
    public void Add(long bytes)
    {
        Live += bytes;
        Reach(0);
    }

    /// <summary>Puts a tensor in memory.</summary>
    public void Appear(int tensor)
    {
        _isThere[tensor] = true;
        int storage = record.Tensors[tensor].Storage;
        Add(_users[storage]++ == 0 ? record.Tensors[storage].Bytes : 0);
    }

    /// <summary>Frees a tensor, if it is there.</summary>
    public void Disappear(int tensor)
    {
        if (_isThere[tensor])
        {
            _isThere[tensor] = false;
            int storage = record.Tensors[tensor].Storage;
            Live -= --_users[storage] == 0 ? record.Tensors[storage].Bytes : 0;
        }
    }
}
