// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>The region that drops the elements and makes them once more; null where nobody does.</summary>
    internal CheckpointRegion? Region { get; set; }

    /// <summary>Number of regions that make other tensors once more from this one, which is none of theirs.</summary>
    internal int HoldCount { get; set; }

    /// <summary>Whether the elements have been freed, to be made once more when they are asked for.</summary>
    internal bool IsDropped { get; private set; }

    /// <summary>Whether the elements are, in part at least, another tensor's.</summary>
    internal bool SharesElements(Tensor other) => ReferenceEquals(_version, other._version);

    /// <summary>Whether the elements stay in memory as long as one of some tensors, which is a view of them.</summary>
    internal bool IsKeptBy(IReadOnlyList<Tensor> views) => !IsDropped && views.Any(view => view.IsView && view != this && SharesElements(view));

    /// <summary>
    /// Frees the elements of a tensor that its region can make once more. They stay where they, or what they were made of, have
    /// been changed in place.
    /// </summary>
    internal void Drop()
    {
        if (_handle.Id != 0 && Region is not null && Producer is not { IsRepeatable: false })
        {
            Region.Check?.Note(this);
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

    /// <summary>Has the elements stay, whatever becomes of the region.</summary>
    private void LeaveRegion()
    {
        if (Region is not null)
        {
            BringBack();
            (Region, IsTransient) = (null, false);
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

        made.FreeNow();
    }
}
