// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// An overflow at the smallest loss scale, with a policy for which that is an error (<see cref="ScalerPolicy.ThrowsAtMinScale"/>):
/// the gradients hold Inf or NaN that no scale cures. In DeepSpeed's words.
/// </summary>
public sealed class MinimumLossScaleException()
    : InvalidOperationException("Current loss scale already at minimum - cannot decrease scale anymore. Exiting run.");
