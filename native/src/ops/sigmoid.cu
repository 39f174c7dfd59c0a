// SPDX-License-Identifier: MIT
// sigmoid on CUDA, as device/activation.cuh runs any activation: the formulas of sigmoid.cpp
#include "ops/sigmoid.h"

#include "device/activation.cuh"

namespace mezzo {
namespace {

const ActivationOnCuda<SigmoidRule> cuda;

} // namespace
} // namespace mezzo
