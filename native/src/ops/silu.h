// SPDX-License-Identifier: MIT
// silu as the devices see it; the formulas are said in silu.cpp.
#pragma once

#include "core/elementary.h"
#include "ops/activation.h"

namespace mezzo {

struct SiluRule {
    static constexpr const char *kSaved = "input";

    template <class Real>
    MEZZO_HOST_DEVICE static Real value(Real input) {
        return input * elementary::sigmoid(input);
    }

    template <class Real>
    MEZZO_HOST_DEVICE static Real gradient(Real grad_output, Real input) {
        const auto s = elementary::sigmoid_pair(input);
        return grad_output * (s.value * std::fma(input, s.complement, Real(1)));
    }
};

} // namespace mezzo
