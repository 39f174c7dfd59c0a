// SPDX-License-Identifier: MIT
namespace Mezzo.Autograd;

/// <summary>What autocast does to an op's inputs. f64 and integer inputs are never touched.</summary>
internal enum CastPolicy
{
    /// <summary>Runs in the dtype of its inputs.</summary>
    AsIs,

    /// <summary>Inputs are cast to autocast's 16-bit dtype: matrix products and convolutions.</summary>
    LowPrecision,

    /// <summary>16-bit inputs are cast to f32: losses, norms, exponentials.</summary>
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
