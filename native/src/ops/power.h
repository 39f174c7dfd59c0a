// SPDX-License-Identifier: MIT
// Powers with the same bits on every device.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/host_device.h"

namespace mezzo {

/// base^exponent for a base in [0, 1], with the same bits on every device; pow differs from library to library.
/// Squares and multiplies, and carries each product's rounding error along in a second number, which is added at the
/// end: within 0.5 + 2^-50 exponent^2 ulp, so nearly always what an exact pow returns.
/// Source: Graillat, "Accurate floating-point product and exponentiation", IEEE Trans. Computers 58(7), 2009.
MEZZO_HOST_DEVICE double power(double base, uint64_t exponent) {
    double base_error = 0;
    double result = 1;
    double result_error = 0;
    while (true) {
        if ((exponent & 1) != 0) {
            const double product = result * base;
            const double rounding = std::fma(result, base, -product);
            result_error = std::fma(result, base_error, std::fma(result_error, base, rounding));
            result = product;
        }
        exponent >>= 1;
        if (exponent == 0) return result + result_error;
        const double square = base * base;
        const double rounding = std::fma(base, base, -square);
        base_error = std::fma(2 * base, base_error, rounding);
        base = square;
    }
}

} // namespace mezzo
