// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>The region that drops the elements and makes them once more; null where nobody does.</summary>
    internal CheckpointRegion? Region { get; set; }

    /// <summary>Whether the elements have been freed, to be made once more when they are asked for.</summary>
    internal bool IsDropped { get; private set; }

    /// <summary>Whether the elements are, in part at least, another tensor's.</summary>
    internal bool SharesElements(Tensor other) => ReferenceEquals(_version, other._version);

    /// <summary>Frees the elements of a tensor that its region can make once more.</summary>
    internal void Drop()
    {
        if (_handle.Id != 0)
        {
            Region?.Check?.Note(this);
            Free();
            IsDropped = true;
        }
    }

    /// <summary>Makes dropped elements once more, if they have been dropped.</summary>
    internal void BringBack()
    {
        if (IsDropped)
        {
            Region!.Recompute(this);
        }
    }

    /// <summary>Takes over elements that have been made once more; frees them where they were not dropped.</summary>
    internal void Refill(Tensor made)
    {
        if (IsDropped)
        {
            (_handle, made._handle) = (made._handle, default);
            IsDropped = false;
        }

        made.Dispose();
    }
}
