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

/// An integer of so many bytes.
template <size_t bytes>
struct BitsOf;
template <>
struct BitsOf<1> : TypeTag<uint8_t> {};
template <>
struct BitsOf<2> : TypeTag<uint16_t> {};
template <>
struct BitsOf<4> : TypeTag<uint32_t> {};
template <>
struct BitsOf<8> : TypeTag<uint64_t> {};

template <class Bits>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks) fill_kernel(MapShape shape, Bits *out, Bits value) {
    map_elements(shape, out, [value] { return value; });
}

void fill_on_cuda(Device &device, const Fill &arguments) {
    visit_dtype(arguments.out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using Bits = typename BitsOf<sizeof(T)>::type;
        Bits *out = reinterpret_cast<Bits *>(arguments.out.data);
        const auto value = std::bit_cast<Bits>(convert<T>(arguments.value));
        launch_map(device, map_shape(arguments.out.elements, out), fill_kernel<Bits>, out, value);
    });
}

const Implementation<Fill> cuda_fill(MEZZO_DEVICE_TYPE_CUDA, fill_on_cuda);

} // namespace
} // namespace mezzo
