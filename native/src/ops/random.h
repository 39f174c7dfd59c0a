// SPDX-License-Identifier: MIT
// random as the devices see it: which numbers, and the distribution. Its parameters are rounded to the arithmetic
// of out's dtype already, so that narrowing them to f32 for an f32 or a half changes nothing.
#pragma once

#include "core/convert.h"
#include "core/op.h"
#include "device/random_block.h"

namespace mezzo {

struct RandomUniform {
    TensorData out;
    uint64_t seed;
    uint64_t stream;
    UniformDistribution<double> distribution;
};

struct RandomNormal {
    TensorData out;
    uint64_t seed;
    uint64_t stream;
    NormalDistribution<double> distribution;
};

} // namespace mezzo
