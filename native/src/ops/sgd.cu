// SPDX-License-Identifier: MIT
// sgd on CUDA, as device/optimizer.cuh runs any optimizer: the formulas of sgd.cpp
//
// f32 parameters with an f32 gradient: 12 bytes an element, 20 with momentum, 2 more for a copy. Four or six loads are
// under way in each thread.
#include "ops/sgd.h"

#include "device/optimizer.cuh"

namespace mezzo {
namespace {

const Implementation<OptimizerStep<SgdRule>> cuda_step(MEZZO_DEVICE_TYPE_CUDA, step_on_cuda<SgdRule>);
const Implementation<OptimizerStep<MomentumRule>> cuda_momentum_step(MEZZO_DEVICE_TYPE_CUDA,
                                                                     step_on_cuda<MomentumRule>);

} // namespace
} // namespace mezzo
