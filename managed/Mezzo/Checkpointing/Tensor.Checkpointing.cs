// SPDX-License-Identifier: MIT
using Mezzo.Checkpointing;

namespace Mezzo;

public partial class Tensor
{
    private Stash? _stash;
    private bool _isKept;

    /// <summary>The region that drops the elements and makes them once more; null where nobody does.</summary>
    internal CheckpointRegion? Region
    {
        get;
        set
        {
            var before = field;
            field = value;
            value?.Gain();
            before?.Lose();
        }
    }

    /// <summary>Number of regions that make other tensors once more from this one, which is none of theirs.</summary>
    internal int HoldCount { get; set; }

    /// <summary>Whether the elements have been freed, and come back when they are asked for.</summary>
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

    /// <summary>
    /// Frees the elements, which a stash gives back; it is disposed of where they must stay. As with those that a region drops,
    /// nothing keeps them once the backward pass has used them.
    /// </summary>
    internal void PutAside(Stash stash)
    {
        if (CanBePutAside)
        {
            Free();
            (_stash, IsDropped, IsTransient) = (stash, true, true);
        }
        else
        {
            stash.Dispose();
        }
    }

    /// <summary>Whether nobody else takes care of the elements: no region, nor the program.</summary>
    internal bool CanBePutAside => _handle.Id != 0 && Region is null && _stash is null && !_isKept;

    /// <summary>Brings dropped elements back, if they have been dropped.</summary>
    internal void BringBack()
    {
        if (!IsDropped)
        {
            return;
        }

        if (_stash is not null)
        {
            Refill(_stash.Restore());
        }
        else
        {
            Region!.Recompute(this);
        }
    }

    /// <summary>Begins to bring back elements that have been put aside.</summary>
    internal void Fetch()
    {
        if (IsDropped)
        {
            _stash?.Fetch();
        }
    }

    /// <summary>Whether the program has asked for the elements to outlive the step.</summary>
    internal bool IsKept => _isKept;

    /// <summary>Says that the elements are wanted as they were, not as the backward pass of the op that made them needs them.</summary>
    internal void ExpectValues()
    {
        if (_stash is { HoldsValues: false })
        {
            throw new InvalidOperationException(
                $"The values of {Description}, the output of a ReLU, are gone: the checkpointing plan keeps one bit of each for the backward pass, " +
                "since nothing read them at this point of the step that it was measured with. Keep() the tensor, or measure the step anew.");
        }
    }

    /// <summary>Has the elements stay, whatever becomes of the region.</summary>
    private void LeaveRegion()
    {
        ExpectValues();
        _isKept = true;
        if (Region is not null || _stash is not null)
        {
            BringBack();
            FreeStash();
            var region = Region;
            (Region, IsTransient) = (null, false);
            region?.HoldIfRead(this);
        }
    }

    private void FreeStash()
    {
        _stash?.Dispose();
        _stash = null;
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
