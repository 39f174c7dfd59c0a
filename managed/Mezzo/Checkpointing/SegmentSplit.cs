// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Where <see cref="Checkpoint.Sequential"/> cuts a chain of modules into segments.</summary>
public enum SegmentSplit
{
    /// <summary>
    /// So that the segment which saves the most bytes saves as few as can be, and the last one, which is not computed once
    /// more, is as long as that allows. What each module saves is measured in the first call.
    /// </summary>
    Balanced = 0,

    /// <summary>
    /// As <c>torch.utils.checkpoint.checkpoint_sequential</c> does: segments of the same number of modules, rounded down, and
    /// what is left over in the last one.
    /// </summary>
    Torch = 1,
}
