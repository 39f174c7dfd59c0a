// SPDX-License-Identifier: MIT
namespace Mezzo.Autograd;

/// <summary>
/// What autocast does to an op's inputs. f64 and integer inputs are never touched. What comes of it, op by op, is the table
/// of <c>AutocastListsTests</c>.
/// </summary>
internal enum CastPolicy
{
    /// <summary>Runs in the dtype of its inputs.</summary>
    AsIs,

    /// <summary>Inputs are cast to autocast's 16-bit dtype: matrix products and convolutions.</summary>
    LowPrecision,

    /// <summary>
    /// 16-bit inputs are cast to f32: losses, norms, exponentials. An op that reads them as they are, with the same result, takes
    /// them out of this (<see cref="Operation.CastsInput"/>) and asks <see cref="Autocast.Float32ResultOf"/> for its result's dtype.
    /// </summary>
    Float32,

    /// <summary>Inputs are cast to the widest dtype among them.</summary>
    Widest,
}

/// <summary>What recomputing an op's output in the backward pass costs, compared with storing it.</summary>
internal enum RecomputeClass
{
    /// <summary>One pass over memory at most: elementwise ops, casts, views.</summary>
    Cheap,

    /// <summary>Arithmetic that outweighs its memory traffic: matrix products.</summary>
    Dear,
}
