// SPDX-License-Identifier: MIT
// sigmoid as the devices see it; the formulas are said in sigmoid.cpp.
#pragma once

#include "core/elementary.h"
#include "ops/activation.h"

namespace mezzo {

struct SigmoidRule {
    static constexpr const char *kSaved = "output";

    template <class Real>
    MEZZO_HOST_DEVICE static Real value(Real input) {
        return elementary::sigmoid(input);
    }

    template <class Real>
    MEZZO_HOST_DEVICE static Real gradient(Real grad_output, Real output) {
        return grad_output * ((Real(1) - output) * output);
    }
};

} // namespace mezzo
