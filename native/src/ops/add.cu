// SPDX-License-Identifier: MIT
// add on CUDA: out[i] = a[i] + b[i]
//
//   out, a, b  one shape, one floating dtype; out may be a or b
//
// Halves are added in f32 and rounded once: the CPU's bits, but for the payload of a NaN. 1 FLOP and 3 sizeof(T)
// bytes an element, bound by memory (device/elementwise.cuh).
#include "ops/add.h"

#include "device/elementwise.cuh"

namespace mezzo {
namespace {

template <class T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    add_forward_kernel(MapShape shape, T *out, const T *a, const T *b) {
    const auto sum = [](T left, T right) { return rounded_sum(left, right); };
    map_elements(shape, out, sum, a, b);
}

void forward_on_cuda(Device &device, const AddForward &arguments) {
    visit_floating_dtype(arguments.out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T *out = arguments.out.as<T>();
        const T *a = arguments.a.as<const T>();
        const T *b = arguments.b.as<const T>();
        launch_map(device, map_shape(arguments.out.elements, out, a, b), add_forward_kernel<T>, out, a, b);
    });
}

const Implementation<AddForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);

} // namespace
} // namespace mezzo
