// SPDX-License-Identifier: MIT
// cross_entropy as the devices see it; the formulas are said in cross_entropy.cpp.
#pragma once

#include "ops/row_softmax.h"
#include "ops/scalar.h"

namespace mezzo {

/// Targets and options, the same for both directions.
struct CrossEntropyTarget {
    TensorData target;
    TensorData weight; // may be missing
    int64_t rows;
    int64_t classes;
    int64_t ignore_index;
    double smoothing;
    bool mean;
};

struct CrossEntropyForward {
    CrossEntropyTarget to;
    TensorData loss;
    TensorData maxima; // may be missing
    TensorData sums;   // may be missing
    TensorData totals; // may be missing
    TensorData logits;
};

struct CrossEntropyBackward {
    CrossEntropyTarget to;
    TensorData grad_logits;
    TensorData logits;
    TensorData maxima;
    TensorData sums;
    TensorData totals;
    TensorData scale; // may be missing
};

/// Element of an integer tensor.
MEZZO_HOST_DEVICE int64_t class_at(const TensorData &target, int64_t row) {
    if (target.dtype == MEZZO_DTYPE_I64) return reinterpret_cast<const int64_t *>(target.data)[row];
    if (target.dtype == MEZZO_DTYPE_I32) return reinterpret_cast<const int32_t *>(target.data)[row];
    return reinterpret_cast<const uint8_t *>(target.data)[row];
}

/// What a row's target says of it.
template <class A>
struct CrossEntropyRow {
    int64_t target; // meaningless unless it is_valid
    bool counts;    // whether it is not ignored
    bool is_valid;  // whether it is a class
    A weight;       // of the target

    MEZZO_HOST_DEVICE CrossEntropyRow(const CrossEntropyTarget &to, const A *weights, int64_t row)
        : target(class_at(to.target, row)),
          counts(target != to.ignore_index),
          is_valid(target >= 0 && target < to.classes),
          weight(weights != nullptr && is_valid ? weights[target] : A{1}) {}
};

/// Terms of a class in the sums of a row: of the exponentials, and for label smoothing of weighted logits and of
/// weights.
struct CrossEntropyTerms {
    double exponential;
    double logit;
    double weight;
};

template <class T>
MEZZO_HOST_DEVICE double weighted_logit(T logit, Arithmetic<T> maximum, Arithmetic<T> weight) {
    return static_cast<double>(weight) * static_cast<double>(widen(logit) - maximum);
}

/// The loss of a row, from its target's logit less the maximum and the sums over its classes.
template <class A>
MEZZO_HOST_DEVICE double cross_entropy_of_row(const CrossEntropyTarget &to, const CrossEntropyRow<A> &row, A logit,
                                              const CrossEntropyTerms &sums) {
    if (!row.counts) return 0;
    if (!row.is_valid) return std::numeric_limits<double>::quiet_NaN();
    const double log_sum = elementary::log(sums.exponential);
    const double own = static_cast<double>(row.weight) * (log_sum - static_cast<double>(logit));
    if (to.smoothing == 0) return own;
    const double all = sums.weight * log_sum - sums.logit;
    const double kept = (1 - to.smoothing) * own;
    const double spread = to.smoothing / static_cast<double>(to.classes) * all;
    return kept + spread;
}

/// What the gradient of a row is made of, in A. Every class has factor exp(logit - maximum) - uniform weight, and the
/// target has `target` less.
template <class A>
struct CrossEntropyGradient {
    A maximum;
    A factor;
    A target;
    A uniform; // of label smoothing
    bool smooths;

    /// `totals`: the divisor and the sum of the weights.
    MEZZO_HOST_DEVICE CrossEntropyGradient(const CrossEntropyTarget &to, const CrossEntropyRow<A> &row, A largest,
                                           A sum, const double *totals, double scale)
        : maximum(largest), smooths(to.smoothing != 0) {
        const double share = row.is_valid ? scale / totals[0] : std::numeric_limits<double>::quiet_NaN();
        const double own = (1 - to.smoothing) * static_cast<double>(row.weight);
        const double each = to.smoothing / static_cast<double>(to.classes);
        const double all = each * totals[1];
        factor = static_cast<A>(share * (own + all) / static_cast<double>(sum));
        target = static_cast<A>(share * own);
        uniform = static_cast<A>(share * each);
    }

    template <class T>
    MEZZO_HOST_DEVICE A of_class(T logit, A weight) const {
        const A probable = factor * exponential_below(logit, maximum);
        const A spread = uniform * weight;
        return smooths ? probable - spread : probable;
    }
};

} // namespace mezzo
