// SPDX-License-Identifier: MIT
// tanh on CUDA, as device/activation.cuh runs any activation: the formulas of tanh.cpp
#include "ops/tanh.h"

#include "device/activation.cuh"

namespace mezzo {
namespace {

const ActivationOnCuda<TanhRule> cuda;

} // namespace
} // namespace mezzo
