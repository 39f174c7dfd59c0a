// SPDX-License-Identifier: MIT
// gelu as the devices see it; the formulas are said in gelu.cpp.
#pragma once

#include "core/error_function.h"
#include "ops/activation.h"

namespace mezzo {

struct GeluRule {
    static constexpr const char *kSaved = "input";

    template <class Real>
    MEZZO_HOST_DEVICE static Real value(Real input) {
        return input * elementary::normal_cdf(input);
    }

    template <class Real>
    MEZZO_HOST_DEVICE static Real gradient(Real grad_output, Real input) {
        const auto normal = elementary::normal(input);
        return grad_output * std::fma(input, normal.density, normal.cdf);
    }
};

struct GeluTanhRule {
    static constexpr const char *kSaved = "input";

    template <class Real>
    MEZZO_HOST_DEVICE static Real value(Real input) {
        return input * elementary::sigmoid(argument(input).value);
    }

    template <class Real>
    MEZZO_HOST_DEVICE static Real gradient(Real grad_output, Real input) {
        const Argument<Real> u = argument(input);
        const auto s = elementary::sigmoid_pair(u.value);
        const Real slope = s.value * s.complement * u.slope;
        return grad_output * std::fma(input, slope, s.value);
    }

  private:
    /// u, for (1 + tanh(u / 2)) / 2 = sigmoid(u), and du/dx.
    template <class Real>
    struct Argument {
        Real value;
        Real slope;
    };

    template <class Real>
    MEZZO_HOST_DEVICE static Argument<Real> argument(Real input) {
        constexpr Real kFactor = static_cast<Real>(1.59576912160573071176); // 2 sqrt(2 / pi)
        constexpr Real kCubic = static_cast<Real>(0.044715);
        // Beyond, the sigmoid is 0 or 1 to the last place; the cube of a large number would be Inf, and Inf times 0
        // NaN.
        constexpr Real kEnd = Real(100);
        const Real x = elementary::clamp(input, -kEnd, kEnd);
        const Real square = x * x;
        return {kFactor * (x * std::fma(square, kCubic, Real(1))),
                kFactor * std::fma(square, Real(3) * kCubic, Real(1))};
    }
};

} // namespace mezzo
