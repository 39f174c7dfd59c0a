// SPDX-License-Identifier: MIT
// adam on CUDA, as device/optimizer.cuh runs any optimizer: the formulas of adam.cpp
//
// f32 parameters: 28 bytes an element with an f32 gradient, 26 with a half one. f64: 56 with an f64 gradient, 50 with a
// half one. Half parameters: 24 with an f32 gradient, 22 with their own dtype's. 2 more for a copy. Eight loads are
// under way in each thread.
#include "ops/adam.h"

#include "device/optimizer.cuh"

namespace mezzo {
namespace {

const Implementation<OptimizerStep<AdamRule>> cuda_step(MEZZO_DEVICE_TYPE_CUDA, step_on_cuda<AdamRule>);

} // namespace
} // namespace mezzo
