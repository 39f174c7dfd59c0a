// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>How much of a model runs in 16 bits, by the names of <c>apex.amp</c>.</summary>
public enum OptLevel
{
    /// <summary>Everything in f32, no loss scale.</summary>
    O0 = 0,

    /// <summary>Autocast: each op in the dtype that suits it, with a dynamic loss scale. Parameters stay f32.</summary>
    O1 = 1,

    /// <summary>
    /// "Almost 16 bits": the whole model but batch normalisation sees its parameters and inputs in 16 bits, the optimizer updates
    /// f32 master weights, and the loss scale is dynamic.
    /// </summary>
    O2 = 2,

    /// <summary>16 bits throughout: no master weights, batch normalisation too, no loss scale. A baseline of speed.</summary>
    O3 = 3,
}

/// <summary>In what form the optimizer has the weights of a 16-bit model.</summary>
public enum MasterWeights
{
    /// <summary>In 16 bits alone, 2 bytes each: updates below half of a number's last bit are lost.</summary>
    None = 0,

    /// <summary>In f32 beside the model's 16 bits, 6 bytes each, written in one pass.</summary>
    Float32 = 1,

    /// <summary>
    /// In f32 whose upper half is the model's bf16, 4 bytes each: the lower 16 bits are kept beside it, so that nothing is lost
    /// against <see cref="Float32"/>. The bf16 number is rounded to nearest, half up.
    /// </summary>
    Remainder = 2,
}
