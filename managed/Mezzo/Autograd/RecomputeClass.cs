// SPDX-License-Identifier: MIT
namespace Mezzo.Autograd;

/// <summary>What it costs to run an op once more in the backward pass, compared with storing its output.</summary>
internal enum RecomputeClass
{
    /// <summary>A few passes over memory at most: elementwise ops, casts, norms, softmax, losses.</summary>
    Cheap,

    /// <summary>Arithmetic that outweighs its memory traffic: matrix products.</summary>
    Dear,
}
