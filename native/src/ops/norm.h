// SPDX-License-Identifier: MIT
// What layer_norm and rms_norm have in common, as the devices see it: each row is divided by its deviation, or by its
// root mean square. The formulas are said in norm.cpp.
#pragma once

#include "core/convert.h"
#include "core/descriptor.h"
#include "core/op.h"

#include <mezzo/ops.h>

#include <cmath>

namespace mezzo {

struct NormForward {
    TensorData out;
    TensorData mean; // may be missing
    TensorData rstd; // may be missing
    TensorData input;
    TensorData weight; // may be missing
    TensorData bias;   // may be missing
    int64_t width;
    double eps;
    bool centred; // whether the mean is taken off: layer_norm
};

struct NormBackward {
    TensorData grad_input;  // may be missing
    TensorData grad_weight; // may be missing
    TensorData grad_bias;   // may be missing
    TensorData grad_output;
    TensorData input;
    TensorData mean; // missing where it is not taken off
    TensorData rstd;
    TensorData weight; // may be missing
    int64_t width;
};

/// What is known of a row, in the arithmetic's dtype A. A mean that is not taken off is 0.
template <class A>
struct NormRow {
    A mean;
    A rstd;

    template <class T>
    MEZZO_HOST_DEVICE A normalize(T element) const {
        return (widen(element) - mean) * rstd;
    }
};

/// The term of an element in the variance.
template <class T>
MEZZO_HOST_DEVICE double squared_deviation(T element, double mean) {
    const double deviation = static_cast<double>(widen(element)) - mean;
    return deviation * deviation;
}

/// 1 / sqrt(variance + eps), rounded once.
template <class A>
MEZZO_HOST_DEVICE A reciprocal_deviation(double variance, double eps) {
    return static_cast<A>(1 / std::sqrt(variance + eps));
}

/// normalized weight + bias, each of which may be missing.
template <class A>
MEZZO_HOST_DEVICE A scaled_and_shifted(A normalized, bool scales, A weight, bool shifts, A bias) {
    const A scaled = scales ? normalized * weight : normalized;
    return shifts ? scaled + bias : scaled;
}

/// Means over a row of g = grad_output weight and of g times the normalized input.
template <class A>
struct NormRowGradient {
    A mean; // 0 where none was taken off
    A product;

    MEZZO_HOST_DEVICE A of_input(A gradient, A normalized, A rstd) const {
        const A along = normalized * product;
        return rstd * (gradient - mean - along);
    }
};

/// The tensors of a call, with the checks that do not depend on whether the mean is taken off.
struct NormForwardTensors {
    TensorRef out, mean, rstd, input, weight, bias;
};
struct NormBackwardTensors {
    TensorRef grad_input, grad_weight, grad_bias, grad_output, input, mean, rstd, weight;
};

/// The descriptor, or for a null one `eps`; below 0 it stands for the epsilon of the arithmetic.
mezzo_norm_desc norm_descriptor(const mezzo_norm_desc *desc, double eps);

void norm_forward(const NormForwardTensors &tensors, const mezzo_norm_desc &desc, bool centred);
void norm_backward(const NormBackwardTensors &tensors, const mezzo_norm_desc &desc, bool centred);

} // namespace mezzo
