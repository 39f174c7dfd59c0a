// SPDX-License-Identifier: MIT
// References in f64, written for clarity alone, and the data that ops are fed with.
#pragma once

#include "support/tensor.h"
#include "support/tolerance.h"

#include <functional>

namespace mezzo::testing {

/// Deterministic numbers in [low, high), not rounded to any dtype.
std::vector<double> random_values(int64_t count, uint64_t seed, double low = -1, double high = 1);

/// Shapes that every elementwise op must get right: scalar, one element, ragged around the widths of
/// vectors, enough for several threads, high rank.
const std::vector<Shape> &elementwise_shapes();

/// Zeros of both signs, smallest and largest numbers, Inf of both signs and NaN of a floating dtype.
std::vector<double> special_values(mezzo_dtype dtype);

/// A power of two r: a floating dtype holds r, 0.75 r and 0.75 r^2, but not 1.5 r^2, which is Inf there.
double root_of_overflow(mezzo_dtype dtype);

/// The matrix product a[m, k] b[k, n], with the sum of the magnitudes of the terms of each element.
Expected matmul(const std::vector<double> &a, const std::vector<double> &b, int64_t m, int64_t k, int64_t n);

std::vector<double> transposed(const std::vector<double> &matrix, int64_t rows, int64_t columns);

/// max(value, 0); NaN stays.
double relu(double value);

/// Gradient of `function` at `point` by central differences in f64.
std::vector<double> finite_difference(const std::function<double(const std::vector<double> &)> &function,
                                      std::vector<double> point);

/// Elements as a matrix product multiplies them: rounded to the dtype and, for `tf32`, to 11 significant bits, to
/// nearest.
std::vector<double> as_multiplied(const std::vector<double> &values, mezzo_dtype dtype, bool tf32);

} // namespace mezzo::testing
