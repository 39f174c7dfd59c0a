// SPDX-License-Identifier: MIT
// What softmax, log_softmax and cross_entropy have in common: the exponentials of a row and their sum. The formulas are
// said in row_softmax.cpp.
#pragma once

#include "core/convert.h"
#include "core/elementary.h"
#include "core/op.h"
#include "ops/row.h"

#include <limits>

namespace mezzo {

struct SoftmaxForward {
    TensorData out;
    TensorData input;
    int64_t width;
    bool log;
};

struct SoftmaxBackward {
    TensorData grad_input;
    TensorData grad_output;
    TensorData output;
    int64_t width;
    bool log;
};

/// Less than every number. NaN is never the largest element of a row: it shows in the sum.
template <class A>
inline constexpr A kNoMaximum = -std::numeric_limits<A>::infinity();

template <class A>
MEZZO_HOST_DEVICE A larger(A a, A b) {
    return b > a ? b : a;
}

/// e^(element - maximum)
template <class T>
MEZZO_HOST_DEVICE Arithmetic<T> exponential_below(T element, Arithmetic<T> maximum) {
    return elementary::exp(widen(element) - maximum);
}

/// What a row's elements are divided by, or have taken off.
template <class A>
struct SoftmaxRow {
    A maximum;
    A divisor; // the sum of the exponentials, for log_softmax its logarithm

    MEZZO_HOST_DEVICE SoftmaxRow(A largest, double sum, bool log)
        : maximum(largest), divisor(static_cast<A>(log ? elementary::log(sum) : sum)) {}

    template <class T>
    MEZZO_HOST_DEVICE A out(T element, bool log) const {
        return log ? widen(element) - maximum - divisor : exponential_below(element, maximum) / divisor;
    }
};

/// The term of an element in the sum that its row's gradients share.
template <class Out>
MEZZO_HOST_DEVICE double softmax_gradient_term(Out gradient, Out output, bool log) {
    const auto value = convert<double>(gradient);
    return log ? value : value * convert<double>(output);
}

/// The gradient of an element's input.
template <class Out>
MEZZO_HOST_DEVICE Arithmetic<Out> softmax_gradient(Out gradient, Out output, Arithmetic<Out> sum, bool log) {
    using A = Arithmetic<Out>;
    if (!log) return widen(output) * (widen(gradient) - sum);
    const A share = elementary::exp(widen(output)) * sum;
    return widen(gradient) - share;
}

/// Largest of value(i), an MEZZO_ALWAYS_INLINE function, for i in [0, width).
template <class A, class Value>
MEZZO_ALWAYS_INLINE inline A largest_of_row(int64_t width, const Value &value) {
    constexpr int kLanes = 64;
    A lanes[kLanes];
    for (A &lane : lanes) lane = kNoMaximum<A>;
    int64_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
        for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = larger(lanes[lane], value(i + lane));
    }
    for (int lane = 0; i < width; ++i, ++lane) lanes[lane] = larger(lanes[lane], value(i));
    for (int count = kLanes / 2; count > 0; count /= 2) {
        for (int lane = 0; lane < count; ++lane) lanes[lane] = larger(lanes[lane], lanes[lane + count]);
    }
    return lanes[0];
}

void softmax_forward(const TensorRef &out, const TensorRef &input, bool log);
void softmax_backward(const TensorRef &grad_input, const TensorRef &grad_output, const TensorRef &output, bool log);

} // namespace mezzo
