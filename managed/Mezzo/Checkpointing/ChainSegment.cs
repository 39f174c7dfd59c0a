// SPDX-License-Identifier: MIT
namespace Mezzo.Checkpointing;

/// <summary>
/// Stages of a chain that are run twice: at first with nothing kept but the first one's input, and again when their backward pass comes,
/// keeping all but what the inner segments drop in turn.
/// </summary>
/// <param name="First">Number of the first stage.</param>
/// <param name="Last">Number of the last stage.</param>
/// <param name="Inner">Segments of these stages, disjoint and in order.</param>
internal sealed record ChainSegment(int First, int Last, IReadOnlyList<ChainSegment> Inner);
