// SPDX-License-Identifier: MIT
// scale on CUDA: out[i] = input[i] * (factor * device_factor)
//
//   out, input     one shape, one floating dtype; out may be input
//   device_factor  f32 or f64 scalar; may be missing
//
// Every thread multiplies the two factors, in f64, and rounds the product to the arithmetic's dtype, as the CPU does:
// its bits, but for the payload of a NaN. 1 FLOP and 2 sizeof(T) bytes an element, bound by memory
// (device/elementwise.cuh).
#include "ops/scale.h"

#include "device/elementwise.cuh"

namespace mezzo {
namespace {

template <class T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    scale_forward_kernel(MapShape shape, T *out, const T *input, double factor, TensorData device_factor) {
    const auto multiplier = scale_multiplier<T>(factor, device_factor);
    const auto product = [multiplier](T value) { return scaled(value, multiplier); };
    map_elements(shape, out, product, input);
}

void forward_on_cuda(Device &device, const ScaleForward &arguments) {
    visit_floating_dtype(arguments.out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T *out = arguments.out.as<T>();
        const T *input = arguments.input.as<const T>();
        launch_map(device, map_shape(arguments.out.elements, out, input), scale_forward_kernel<T>, out, input,
                   arguments.factor, arguments.device_factor);
    });
}

const Implementation<ScaleForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);

} // namespace
} // namespace mezzo
