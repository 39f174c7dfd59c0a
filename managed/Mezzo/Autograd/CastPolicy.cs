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

    /// <summary>Inputs are cast to autocast's 16-bit dtype: matrix products.</summary>
    LowPrecision,

    /// <summary>
    /// 16-bit inputs are cast to f32: losses, norms, exponentials. An op that reads them as they are, with the same result, takes
    /// them out of this (<see cref="Operation.CastsInput"/>) and asks <see cref="Autocast.Float32ResultOf"/> for its result's dtype.
    /// </summary>
    Float32,

    /// <summary>Inputs are cast to the widest dtype among them.</summary>
    Widest,
}
