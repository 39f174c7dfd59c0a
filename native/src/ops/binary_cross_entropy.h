// SPDX-License-Identifier: MIT
// binary_cross_entropy as the devices see it; the formulas are said in binary_cross_entropy.cpp.
#pragma once

#include "core/elementary.h"
#include "ops/scalar.h"

namespace mezzo {

struct BinaryCrossEntropyForward {
    TensorData loss;       // may be missing
    TensorData grad_input; // may be missing
    TensorData input;
    TensorData target;
    TensorData weight;     // may be missing
    TensorData pos_weight; // of one element or of `columns`; may be missing
    TensorData scale;      // f32 or f64 scalar; may be missing
    int64_t columns;       // period of pos_weight in the elements
    double divisor;
    bool from_logits;
};

/// Loss and gradient of an element, before weight and scale.
template <class Real>
struct CrossEntropy {
    Real loss;
    Real gradient;
};

struct FromLogits {
    template <class Real>
    MEZZO_HOST_DEVICE static CrossEntropy<Real> of(Real x, Real target, Real pos_weight) {
        const Real small = elementary::exp(-elementary::magnitude(x));
        const Real curve = elementary::log1p(small);
        const Real sum = Real(1) + small;
        const Real probability = (x < Real(0) ? small : Real(1)) / sum;
        const Real complement = (x < Real(0) ? Real(1) : small) / sum;
        const Real against = Real(1) - target;
        const Real for_it = pos_weight * target;
        // All terms of the loss are positive, so nothing cancels. NaN is neither below nor above 0, and in the curve.
        const Real above = x > Real(0) ? x : Real(0);
        const Real below = x < Real(0) ? -x : Real(0);
        return {std::fma(against, above + curve, for_it * (below + curve)),
                std::fma(against, probability, -(for_it * complement))};
    }
};

struct FromProbabilities {
    template <class Real>
    MEZZO_HOST_DEVICE static CrossEntropy<Real> of(Real p, Real target, Real) {
        constexpr Real kLowestLog = Real(-100);
        constexpr Real kLeast = static_cast<Real>(1e-12);
        const Real log_p = elementary::log(p);
        const Real log_other = elementary::log1p(-p);
        const Real yes = log_p < kLowestLog ? kLowestLog : log_p;
        const Real no = log_other < kLowestLog ? kLowestLog : log_other;
        const Real against = Real(1) - target;
        const Real variance = (Real(1) - p) * p; // below 0 where p is no probability, whose logarithms are NaN
        const Real divisor = variance < kLeast ? (variance < 0 ? variance * log_p * log_other : kLeast) : variance;
        return {-std::fma(against, no, target * yes), (p - target) / divisor};
    }
};

/// The factor of an element's gradient: scale / divisor.
template <class Real>
MEZZO_HOST_DEVICE Real cross_entropy_multiplier(const TensorData &scale, double divisor) {
    return static_cast<Real>(factor_or_one(scale) / divisor);
}

} // namespace mezzo
