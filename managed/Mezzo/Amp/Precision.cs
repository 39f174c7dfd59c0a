// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>In which dtype a training step multiplies matrices.</summary>
public enum Precision
{
    /// <summary>Everything in f32.</summary>
    Float32 = 0,

    /// <summary>Autocast to bf16.</summary>
    BFloat16 = 1,

    /// <summary>Autocast to f16, with a dynamic loss scale.</summary>
    Float16 = 2,
}
