// SPDX-License-Identifier: MIT
// gelu on CUDA, as device/activation.cuh runs any activation: the formulas of gelu.cpp
#include "ops/gelu.h"

#include "device/activation.cuh"

namespace mezzo {
namespace {

const ActivationOnCuda<GeluRule> cuda;
const ActivationOnCuda<GeluTanhRule> cuda_tanh;

} // namespace
} // namespace mezzo
