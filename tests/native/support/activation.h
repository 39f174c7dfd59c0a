// SPDX-License-Identifier: MIT
// What every elementwise activation must do: its test file describes it and calls these.
#pragma once

#include "support/tensor.h"

#include <functional>

namespace mezzo::testing {

/// An activation, how to call it, and its formulas in a wider type.
struct Activation {
    std::function<mezzo_status(mezzo_tensor out, mezzo_tensor input)> forward;
    std::function<mezzo_status(mezzo_tensor grad_input, mezzo_tensor grad_output, mezzo_tensor saved)> backward;
    long double (*value)(long double input);
    long double (*derivative)(long double saved);
    long double (*magnitude)(long double saved);           // sum of the magnitudes of the derivative's terms
    bool from_output;                                      // whether the output is saved for the gradient, or the input
    const char *name;                                      // as messages begin with
    long double (*condition)(long double input) = nullptr; // how many times an early rounding counts; null for once
};

/// Forward and backward, in place too, for every dtype and shape, against the formulas.
void expect_formulas(const Activation &activation);

/// Inf, NaN, subnormals and the largest numbers come out as the formulas say.
void expect_formulas_of_special_values(const Activation &activation);

/// The backward pass in f64 against central differences of the forward pass.
void expect_gradient_of_finite_differences(const Activation &activation);

/// All devices give the same bits, wherever tensors begin.
void expect_same_bits(const Activation &activation);

/// Null tensors, wrong dtypes and shapes, and overlaps are refused.
void expect_refusals(const Activation &activation);

} // namespace mezzo::testing
