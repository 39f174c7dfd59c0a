// SPDX-License-Identifier: MIT
// relu on CUDA: out[i] = max(input[i], 0);  grad_input[i] = output[i] <= 0 ? 0 : grad_output[i]
//
//   all tensors  one shape, one floating dtype
//
// No arithmetic but a comparison: deterministic, NaN keeps its bits. 2 sizeof(T) bytes an element forward, 3
// backward, bound by memory (device/elementwise.cuh).
// Source: as relu.cpp.
#include "ops/relu.h"

#include "device/elementwise.cuh"

namespace mezzo {
namespace {

template <class T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks) relu_forward_kernel(MapShape shape, T *out, const T *input) {
    const auto element = [](T value) { return rectify(value); };
    map_elements(shape, out, element, input);
}

template <class T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    relu_backward_kernel(MapShape shape, T *grad_input, const T *grad_output, const T *output) {
    const auto element = [](T gradient, T forward) { return rectify_gradient(gradient, forward); };
    map_elements(shape, grad_input, element, grad_output, output);
}

void forward_on_cuda(Device &device, const ReluForward &a) {
    visit_floating_dtype(a.out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T *out = a.out.as<T>();
        const T *input = a.input.as<const T>();
        launch_map(device, map_shape(a.out.elements, out, input), relu_forward_kernel<T>, out, input);
    });
}

void backward_on_cuda(Device &device, const ReluBackward &a) {
    visit_floating_dtype(a.grad_input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T *grad_input = a.grad_input.as<T>();
        const T *grad_output = a.grad_output.as<const T>();
        const T *output = a.output.as<const T>();
        launch_map(device, map_shape(a.grad_input.elements, grad_input, grad_output, output), relu_backward_kernel<T>,
                   grad_input, grad_output, output);
    });
}

const Implementation<ReluForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);
const Implementation<ReluBackward> cuda_backward(MEZZO_DEVICE_TYPE_CUDA, backward_on_cuda);

} // namespace
} // namespace mezzo
