// SPDX-License-Identifier: MIT
// Linear layers of tests: sizes, dtypes and data, and the backward against the oracle.
#pragma once

#include <mezzo/ops.h>

#include "support/oracle.h"

#include <string>

namespace mezzo::testing {

struct LinearSizes {
    int64_t rows;
    int64_t in;
    int64_t out;
};

// One element, ragged around vectors, tiles and pairs, the vectors of a study's first layer and heads,
// several blocks and threads, few rows of a wide layer.
inline const std::vector<LinearSizes> kLinearSizes = {{1, 1, 1},      {7, 3, 5},      {1, 40, 33},    {129, 31, 17},
                                                      {33, 150, 150}, {1000, 1, 150}, {1000, 150, 1}, {5, 300, 200},
                                                      {1003, 37, 81}, {64, 257, 270}};

mezzo_linear_desc linear_desc(mezzo_activation activation, uint32_t accumulate = MEZZO_LINEAR_ACCUMULATE_NONE);

/// The dtypes that outputs, gradients and biases of a layer may have.
std::vector<mezzo_dtype> dtypes_beside(mezzo_dtype dtype);

/// random_values() as a tensor of a dtype holds them.
std::vector<double> random_rounded(int64_t count, uint64_t seed, mezzo_dtype dtype);

/// Adds `term`, repeated, to a sum.
Expected plus(Expected sum, const std::vector<double> &term);

struct LinearBackwardCase {
    LinearSizes sizes;
    mezzo_dtype dtype;
    mezzo_dtype grad_input;
    mezzo_dtype grad_weight;
    mezzo_dtype grad_bias;
    mezzo_dtype grad_output;
    mezzo_dtype output;
    mezzo_dtype grad_input_sum;
    mezzo_activation activation = MEZZO_ACTIVATION_RELU;
    mezzo_activation input_activation = MEZZO_ACTIVATION_NONE;
    uint32_t accumulate = MEZZO_LINEAR_ACCUMULATE_NONE;
    uint32_t wanted = 7; // bits of mezzo_linear_accumulate: which gradients are asked for; not the sum by default
    bool misaligned = false;
    bool special = false; // Inf and NaN in the gradient and the output
};

/// A layer of one dtype that accumulates, and keeps the gradients of its parameters, in the arithmetic's.
LinearBackwardCase backward_case(const LinearSizes &sizes, mezzo_dtype dtype);

std::string text(const LinearBackwardCase &c);

void expect_backward(const LinearBackwardCase &c);

} // namespace mezzo::testing
