// SPDX-License-Identifier: MIT
// Entries of elementwise activations, and their loops on the CPU.
#pragma once

#include "ops/activation.h"
#include "ops/elementwise.h"

namespace mezzo {

namespace activation_detail {

template <class Rule>
void forward_on_cpu(Device &, const ActivationForward<Rule> &a) {
    visit_floating_dtype(a.input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto element = [](T input) MEZZO_ALWAYS_INLINE { return activated<Rule>(input); };
        map_elements(a.input.elements, a.out.template as<T>(), element, a.input.template as<const T>());
    });
}

template <class Rule>
void backward_on_cpu(Device &, const ActivationBackward<Rule> &a) {
    visit_floating_dtype(a.grad_output.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto element = [](T gradient, T saved)
                                 MEZZO_ALWAYS_INLINE { return activation_gradient<Rule>(gradient, saved); };
        map_elements(a.grad_output.elements, a.grad_input.template as<T>(), element,
                     a.grad_output.template as<const T>(), a.saved.template as<const T>());
    });
}

} // namespace activation_detail

/// Declares how an activation runs on the CPU.
template <class Rule>
struct ActivationOnCpu {
    Implementation<ActivationForward<Rule>> forward{MEZZO_DEVICE_TYPE_CPU, activation_detail::forward_on_cpu<Rule>};
    Implementation<ActivationBackward<Rule>> backward{MEZZO_DEVICE_TYPE_CPU, activation_detail::backward_on_cpu<Rule>};
};

template <class Rule>
void activation_forward(mezzo_tensor out_handle, mezzo_tensor input_handle) {
    const TensorRef out = require_tensor(out_handle, "out");
    const TensorRef input = require_tensor(input_handle, "input");
    expect_same_device(out, input);
    expect_floating(input);
    expect_same_shape_and_dtype(out, input);
    expect_in_place_or_no_overlap(out, input);
    run_op(out.device(), ActivationForward<Rule>{out, input});
}

template <class Rule>
void activation_backward(mezzo_tensor grad_input_handle, mezzo_tensor grad_output_handle, mezzo_tensor saved_handle) {
    const TensorRef grad_input = require_tensor(grad_input_handle, "grad_input");
    const TensorRef grad_output = require_tensor(grad_output_handle, "grad_output");
    const TensorRef saved = require_tensor(saved_handle, Rule::kSaved);
    expect_same_device({&grad_input, &grad_output, &saved});
    expect_floating(grad_output);
    expect_same_shape_and_dtype(saved, grad_output);
    expect_same_shape_and_dtype(grad_input, grad_output);
    expect_in_place_or_no_overlap(grad_input, grad_output);
    expect_no_overlap(grad_input, saved);
    run_op(grad_input.device(), ActivationBackward<Rule>{grad_input, grad_output, saved});
}

} // namespace mezzo
