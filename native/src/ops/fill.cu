// SPDX-License-Identifier: MIT
// fill on CUDA: out[i] = value
//
//   out  any shape, any dtype
//
// The host rounds the value; the kernel knows only how many bytes an element has. sizeof(T) bytes an element, all
// written, bound by memory (device/elementwise.cuh).
#include "ops/fill.h"

#include "device/elementwise.cuh"

namespace mezzo {
namespace {

template <class Bits>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks) fill_kernel(MapShape shape, Bits *out, Bits value) {
    map_elements(shape, out, [value] { return value; });
}

void fill_on_cuda(Device &device, const Fill &arguments) {
    visit_dtype(arguments.out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using Bits = BitsOf<T>;
        Bits *out = reinterpret_cast<Bits *>(arguments.out.data);
        const auto value = std::bit_cast<Bits>(convert<T>(arguments.value));
        launch_map(device, map_shape(arguments.out.elements, out), fill_kernel<Bits>, out, value);
    });
}

const Implementation<Fill> cuda_fill(MEZZO_DEVICE_TYPE_CUDA, fill_on_cuda);

} // namespace
} // namespace mezzo
