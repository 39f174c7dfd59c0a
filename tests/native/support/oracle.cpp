// SPDX-License-Identifier: MIT
#include "support/oracle.h"

#include <cmath>
#include <limits>
#include <random>

namespace mezzo::testing {

// Written out, because the distributions of the C++ library differ from one implementation to the next.
std::vector<double> random_values(int64_t count, uint64_t seed, double low, double high) {
    std::mt19937_64 words(seed);
    std::vector<double> values(static_cast<size_t>(count));
    for (double &value : values) value = low + (high - low) * std::ldexp(static_cast<double>(words() >> 11), -53);
    return values;
}

const std::vector<Shape> &elementwise_shapes() {
    static const std::vector<Shape> shapes = {
        {}, {1}, {3}, {15}, {16}, {17}, {63}, {65}, {7, 1023}, {2, 3, 5, 7}, {1, 1, 2, 1, 3, 1, 1, 5}, {100003},
    };
    return shapes;
}

std::vector<double> special_values(mezzo_dtype dtype) {
    const double infinity = std::numeric_limits<double>::infinity();
    const double subnormal = smallest_subnormal(dtype);
    const double normal = subnormal / (2 * unit_roundoff(dtype));
    const double largest = (2 - 2 * unit_roundoff(dtype)) / (normal / 2);
    return {0.0, -0.0, subnormal, -subnormal, normal, -normal, largest, -largest, infinity, -infinity, std::nan("")};
}

double root_of_overflow(mezzo_dtype dtype) {
    if (dtype == MEZZO_DTYPE_F16) return 0x1p8;
    return dtype == MEZZO_DTYPE_F64 ? 0x1p512 : 0x1p64;
}

Expected matmul(const std::vector<double> &a, const std::vector<double> &b, int64_t m, int64_t k, int64_t n) {
    Expected product{std::vector<double>(static_cast<size_t>(m * n)), std::vector<double>(static_cast<size_t>(m * n))};
    for (int64_t row = 0; row < m; ++row) {
        for (int64_t column = 0; column < n; ++column) {
            double sum = 0;
            double magnitude = 0;
            for (int64_t i = 0; i < k; ++i) {
                const double term = a[static_cast<size_t>(row * k + i)] * b[static_cast<size_t>(i * n + column)];
                sum += term;
                magnitude += std::abs(term);
            }
            product.values[static_cast<size_t>(row * n + column)] = sum;
            product.magnitudes[static_cast<size_t>(row * n + column)] = magnitude;
        }
    }
    return product;
}

std::vector<double> transposed(const std::vector<double> &matrix, int64_t rows, int64_t columns) {
    std::vector<double> result(matrix.size());
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t column = 0; column < columns; ++column) {
            result[static_cast<size_t>(column * rows + row)] = matrix[static_cast<size_t>(row * columns + column)];
        }
    }
    return result;
}

double relu(double value) {
    return value < 0 ? 0 : value;
}

std::vector<double> finite_difference(const std::function<double(const std::vector<double> &)> &function,
                                      std::vector<double> point) {
    std::vector<double> gradient(point.size());
    for (size_t i = 0; i < point.size(); ++i) {
        const double centre = point[i];
        const double step = finite_difference_step() * std::max(1.0, std::abs(centre));
        point[i] = centre + step;
        const double above = function(point);
        point[i] = centre - step;
        const double below = function(point);
        gradient[i] = (above - below) / (2 * step);
        point[i] = centre;
    }
    return gradient;
}

std::vector<double> as_multiplied(const std::vector<double> &values, mezzo_dtype dtype, bool tf32) {
    std::vector<double> result = rounded(values, dtype);
    if (!tf32) return result;
    constexpr int kSignificand = 11; // bits, the implicit one counted
    for (double &value : result) {
        int exponent = 0;
        const double fraction = std::frexp(value, &exponent);
        value = std::ldexp(std::round(std::ldexp(fraction, kSignificand)), exponent - kSignificand);
    }
    return result;
}

} // namespace mezzo::testing
