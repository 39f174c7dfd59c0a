// SPDX-License-Identifier: MIT
// The linear layer on the CPU: forward and backward in one pass over blocks of rows that stay in a core's
// caches. What is computed is said in <mezzo/ops.h>, how in docs/kernels/cpu-linear.md.
#pragma once

#include "core/memory.h"
#include "cpu/product.h"

namespace mezzo::cpu {

struct LinearSizes {
    int64_t rows;
    int64_t in_features;
    int64_t out_features;
};

/// A tensor of a layer whose dtype may be the layer's own or f32; null data when it was not given.
struct LinearTensor {
    std::byte *data = nullptr;
    mezzo_dtype dtype = MEZZO_DTYPE_F32;

    explicit operator bool() const { return data != nullptr; }
};

struct LinearForward {
    LinearSizes sizes;
    mezzo_dtype dtype; // of input and weight
    LinearTensor out;
    const std::byte *input;
    const std::byte *weight;
    LinearTensor bias; // optional
    bool relu;
};

struct LinearBackward {
    LinearSizes sizes;
    mezzo_dtype dtype;       // of input and weight
    LinearTensor grad_input; // optional, as the next two; may be grad_output
    LinearTensor grad_weight;
    LinearTensor grad_bias;
    LinearTensor grad_output;
    const std::byte *input;  // needed for grad_weight
    const std::byte *weight; // needed for grad_input
    LinearTensor output;     // given for ReLU: masks grad_output
    bool accumulate_input;
    bool accumulate_weight;
    bool accumulate_bias;

    /// Whether grad_input overwrites grad_output.
    bool in_place() const { return grad_input.data == grad_output.data; }
};

/// How a layer's work falls to members of a team: each has a range of rows and a range of columns.
struct LinearPlan {
    int64_t row_parts;
    int64_t column_parts;
    int64_t block_rows; // rows that a member works on at a time

    int64_t members() const { return row_parts * column_parts; }
    bool operator==(const LinearPlan &) const = default;
};

/// Plans for a number of threads and the block that a backend prefers. Pure.
LinearPlan plan_linear(const LinearSizes &sizes, int64_t threads, int64_t preferred_rows);

/// Run a layer with a backend, on threads and scratch memory of the CPU device.
void run_linear(const LinearForward &layer, const ProductBackend &backend, Allocator &memory);
void run_linear(const LinearBackward &layer, const ProductBackend &backend, Allocator &memory);

} // namespace mezzo::cpu
