// SPDX-License-Identifier: MIT
// tanh as the devices see it; the formulas are said in tanh.cpp.
#pragma once

#include "core/elementary.h"
#include "ops/activation.h"

namespace mezzo {

struct TanhRule {
    static constexpr const char *kSaved = "output";

    template <class Real>
    MEZZO_HOST_DEVICE static Real value(Real input) {
        return elementary::tanh(input);
    }

    template <class Real>
    MEZZO_HOST_DEVICE static Real gradient(Real grad_output, Real output) {
        return grad_output * std::fma(-output, output, Real(1));
    }
};

} // namespace mezzo
