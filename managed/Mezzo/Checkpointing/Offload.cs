// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>A tensor of a step that is copied to host memory from its last use in the forward pass to its first in the backward pass.</summary>
/// <param name="Tensor">Its number.</param>
/// <param name="FreedAfter">Position of the op after which its elements are freed, and until which they may be copied beside other work.</param>
/// <param name="FetchedBefore">Position of the op before whose backward pass copying back begins.</param>
internal readonly record struct Offload(int Tensor, int FreedAfter, int FetchedBefore);
