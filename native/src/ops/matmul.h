// SPDX-License-Identifier: MIT
// matmul as the devices see it: sizes and tensors of a checked call. What is computed is said in <mezzo/ops.h>.
#pragma once

#include "core/op.h"

namespace mezzo {

struct Matmul {
    int64_t m, n, k;   // each at least 1
    int64_t batch;     // members
    mezzo_dtype dtype; // of a and b
    const std::byte *a;
    const std::byte *b;
    bool a_transposed; // a's members are [k, m]
    bool b_transposed; // b's members are [n, k]
    bool a_repeats;    // all members use one matrix
    bool b_repeats;
    bool sums;      // out is the sum over the members; neither a nor b repeats
    TensorData out; // of `dtype`, or f32 beside a half
    bool accumulate;
    bool allow_tf32;
};

} // namespace mezzo
