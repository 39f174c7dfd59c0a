// SPDX-License-Identifier: MIT
// What elementwise activations have in common:
//
//   out[i] = f(input[i]),  grad_input[i] = grad_output[i] f'(input[i])
//
//   all tensors  one shape, one floating dtype; out may be input, grad_input may be grad_output
//
// A Rule has the two formulas, in f32 or f64, and says from which tensor of the forward pass it takes the gradient:
//
//     struct SigmoidRule {
//         static constexpr const char *kSaved = "output";
//         template <class Real> MEZZO_HOST_DEVICE static Real value(Real input);
//         template <class Real> MEZZO_HOST_DEVICE static Real gradient(Real grad_output, Real saved);
//     };
//
// Elements are rounded once, as they are stored. 2 sizeof(T) bytes an element forward, 3 backward.
#pragma once

#include "core/convert.h"
#include "core/op.h"

namespace mezzo {

template <class Rule>
struct ActivationForward {
    TensorData out;
    TensorData input;
};

template <class Rule>
struct ActivationBackward {
    TensorData grad_input;
    TensorData grad_output;
    TensorData saved;
};

/// An element of the output.
template <class Rule, class T>
MEZZO_HOST_DEVICE T activated(T input) {
    return convert<T>(Rule::value(widen(input)));
}

/// An element of the input's gradient.
template <class Rule, class T>
MEZZO_HOST_DEVICE T activation_gradient(T grad_output, T saved) {
    return convert<T>(Rule::gradient(widen(grad_output), widen(saved)));
}

} // namespace mezzo
