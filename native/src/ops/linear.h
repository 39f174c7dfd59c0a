// SPDX-License-Identifier: MIT
// linear as the devices see it: sizes and tensors of a checked call. What is computed is said in <mezzo/ops.h>.
#pragma once

#include "core/op.h"

namespace mezzo {

struct LinearSizes {
    int64_t rows;
    int64_t in_features;
    int64_t out_features;
};

// Tensors are of the layer's dtype or, where they are TensorData, of f32 beside a half.

struct LinearForward {
    LinearSizes sizes;
    mezzo_dtype dtype; // of input and weight
    TensorData out;    // [rows, out_features]
    const std::byte *input;
    const std::byte *weight;
    TensorData bias; // optional
    bool relu;
    bool allow_tf32;
};

struct LinearBackward {
    LinearSizes sizes;
    mezzo_dtype dtype;     // of input and weight
    TensorData grad_input; // optional, as the next two; may be grad_output
    TensorData grad_weight;
    TensorData grad_bias;
    TensorData grad_input_sum; // optional: the sum over rows of grad_input
    TensorData found_inf;      // optional f32 scalar: set where a gradient but grad_input is Inf or NaN
    TensorData grad_output;
    const std::byte *input;  // needed for grad_weight and mask_input
    const std::byte *weight; // needed for grad_input
    TensorData output;       // given for ReLU: masks grad_output
    bool mask_input;         // grad_input is 0 where input <= 0
    bool accumulate_input;
    bool accumulate_weight;
    bool accumulate_bias;
    bool accumulate_sum;
    bool allow_tf32;

    /// Whether grad_input overwrites grad_output.
    bool in_place() const { return grad_input.data == grad_output.data; }
};

} // namespace mezzo
