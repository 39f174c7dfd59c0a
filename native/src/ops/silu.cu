// SPDX-License-Identifier: MIT
// silu on CUDA, as device/activation.cuh runs any activation: the formulas of silu.cpp
#include "ops/silu.h"

#include "device/activation.cuh"

namespace mezzo {
namespace {

const ActivationOnCuda<SiluRule> cuda;

} // namespace
} // namespace mezzo
