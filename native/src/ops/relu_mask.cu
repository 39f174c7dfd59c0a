// SPDX-License-Identifier: MIT
// relu_mask on CUDA: bit i % 8 of mask[i / 8] is 0 where output[i] <= 0, else 1; and back, to 0 and 1
//
//   output  any shape, f64, f32, f16 or bf16
//   mask    u8, (n + 7) / 8 elements; bits past the n-th are 0
//
// A thread takes the eight elements of one byte of the mask, in accesses of 16 bytes where `output` begins at a
// multiple of that, and several such bytes a grid apart, so that 64 bytes are under way. Neighbouring threads have
// neighbouring bytes. sizeof(T) + 1/8 bytes an element, bound by memory.
#include "ops/relu_mask.h"

#include "device/elementwise.cuh"

namespace mezzo {
namespace {

constexpr int kBits = static_cast<int>(kMaskBits);

/// Groups of eight elements that a thread has under way.
template <class T>
constexpr int kGroups = static_cast<int>(std::max<size_t>(1, 64 / (kBits * sizeof(T))));

template <class T>
__device__ __forceinline__ uint32_t bit_of(T output, int k) {
    return static_cast<uint32_t>(!(widen(output) <= 0)) << k; // 1 for NaN, which compares false
}

/// As MapShape: whole groups of eight, none where they cannot be taken at once.
template <class T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    relu_mask_pack_kernel(MapShape shape, uint8_t *mask, const T *output) {
    const int stride = static_cast<int>(grid_threads());
    for (int64_t first = grid_thread(); first < shape.packs; first += int64_t{kGroups<T>} * stride) {
        const int64_t left = shape.packs - first;
        RawPack<T, kBits> groups[kGroups<T>]{};
        MEZZO_UNROLL
        for (int n = 0; n < kGroups<T>; ++n) {
            if (n * stride < left) groups[n].load(output + first * kBits, n * stride);
        }
        MEZZO_UNROLL
        for (int n = 0; n < kGroups<T>; ++n) {
            if (n * stride >= left) break;
            uint32_t bits = 0;
            MEZZO_UNROLL
            for (int k = 0; k < kBits; ++k) bits |= bit_of(groups[n].at(k), k);
            mask[first + n * stride] = static_cast<uint8_t>(bits);
        }
    }
    for (int64_t byte = shape.packs + grid_thread(); byte * kBits < shape.elements; byte += stride) {
        uint32_t bits = 0;
        for (int k = 0; k < kBits && byte * kBits + k < shape.elements; ++k)
            bits |= bit_of(output[byte * kBits + k], k);
        mask[byte] = static_cast<uint8_t>(bits);
    }
}

template <class T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    relu_mask_unpack_kernel(MapShape shape, T *output, const uint8_t *mask) {
    const T one = convert<T>(1.0F);
    const int64_t stride = grid_threads();
    for (int64_t byte = grid_thread(); byte < shape.packs; byte += stride) {
        const uint32_t bits = mask[byte];
        Pack<T, kBits> group;
        MEZZO_UNROLL
        for (int k = 0; k < kBits; ++k) group.value[k] = (bits >> k & 1) != 0 ? one : T{};
        reinterpret_cast<Pack<T, kBits> *>(output)[byte] = group;
    }
    for (int64_t i = shape.packs * kBits + grid_thread(); i < shape.elements; i += stride) {
        output[i] = (mask[i / kBits] >> (i % kBits) & 1) != 0 ? one : T{};
    }
}

/// Whole groups where `output` begins where one may be loaded and stored.
template <class T>
MapShape shape_of(const T *output, int64_t elements) {
    const bool is_aligned = reinterpret_cast<uintptr_t>(output) % alignof(Pack<T, kBits>) == 0;
    return {elements, 0, is_aligned ? elements / kBits : 0};
}

void pack_on_cuda(Device &device, const ReluMaskPack &a) {
    visit_floating_dtype(a.output.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const T *output = a.output.as<const T>();
        launch_map(device, shape_of(output, a.output.elements), relu_mask_pack_kernel<T>, a.mask.as<uint8_t>(), output);
    });
}

void unpack_on_cuda(Device &device, const ReluMaskUnpack &a) {
    visit_floating_dtype(a.output.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T *output = a.output.as<T>();
        launch_map(device, shape_of(output, a.output.elements), relu_mask_unpack_kernel<T>, output,
                   a.mask.as<const uint8_t>());
    });
}

const Implementation<ReluMaskPack> cuda_pack(MEZZO_DEVICE_TYPE_CUDA, pack_on_cuda);
const Implementation<ReluMaskUnpack> cuda_unpack(MEZZO_DEVICE_TYPE_CUDA, unpack_on_cuda);

} // namespace
} // namespace mezzo
