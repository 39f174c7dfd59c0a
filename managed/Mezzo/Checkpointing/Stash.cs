// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>What is kept of a tensor while its elements are not in its device's memory, other than ops that make them once more.</summary>
internal abstract class Stash : IDisposable
{
    /// <summary>Whether the elements come back as they were; else as others that the backward pass cannot tell from them.</summary>
    public abstract bool HoldsValues { get; }

    /// <summary>Begins to bring the elements back, so that they are there in time. Takes their memory.</summary>
    public virtual void Fetch()
    {
    }

    /// <summary>Brings the elements back.</summary>
    /// <returns>A tensor of the caller's with the elements.</returns>
    public abstract Tensor Restore();

    public abstract void Dispose();
}
