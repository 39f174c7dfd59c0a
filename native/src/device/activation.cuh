// SPDX-License-Identifier: MIT
// Elementwise activations on CUDA (ops/activation.h), in the loop of device/elementwise.cuh.
//
// Memory bounds the cheaper ones; of gelu in halves, with some 60 instructions an element, arithmetic does. In f64 a
// thread has twice the registers, so that nothing is spilled.
#pragma once

#include "device/elementwise.cuh"
#include "ops/activation.h"

namespace mezzo {

namespace activation_detail {

template <class T>
inline constexpr int kBlocks = sizeof(T) == sizeof(double) ? kMapBlocks / 2 : kMapBlocks;

template <class Rule, class T>
__global__ void __launch_bounds__(kMapThreads, kBlocks<T>)
    activation_forward_kernel(MapShape shape, T *out, const T *input) {
    map_elements(
        shape, out, [](T value) { return activated<Rule>(value); }, input);
}

template <class Rule, class T>
__global__ void __launch_bounds__(kMapThreads, kBlocks<T>)
    activation_backward_kernel(MapShape shape, T *grad_input, const T *grad_output, const T *saved) {
    const auto element = [](T gradient, T value) { return activation_gradient<Rule>(gradient, value); };
    map_elements(shape, grad_input, element, grad_output, saved);
}

template <class Rule>
void forward_on_cuda(Device &device, const ActivationForward<Rule> &a) {
    visit_floating_dtype(a.out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T *out = a.out.template as<T>();
        const T *input = a.input.template as<const T>();
        launch_map(device, map_shape(a.out.elements, out, input), activation_forward_kernel<Rule, T>, out, input);
    });
}

template <class Rule>
void backward_on_cuda(Device &device, const ActivationBackward<Rule> &a) {
    visit_floating_dtype(a.grad_input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T *grad_input = a.grad_input.template as<T>();
        const T *grad_output = a.grad_output.template as<const T>();
        const T *saved = a.saved.template as<const T>();
        launch_map(device, map_shape(a.grad_input.elements, grad_input, grad_output, saved),
                   activation_backward_kernel<Rule, T>, grad_input, grad_output, saved);
    });
}

} // namespace activation_detail

/// Declares how an activation runs on CUDA.
template <class Rule>
struct ActivationOnCuda {
    Implementation<ActivationForward<Rule>> forward{MEZZO_DEVICE_TYPE_CUDA, activation_detail::forward_on_cuda<Rule>};
    Implementation<ActivationBackward<Rule>> backward{MEZZO_DEVICE_TYPE_CUDA,
                                                      activation_detail::backward_on_cuda<Rule>};
};

} // namespace mezzo
