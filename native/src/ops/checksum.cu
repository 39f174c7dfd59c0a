// SPDX-License-Identifier: MIT
// checksum on CUDA: out = sum_i mix(bits(input[i]) + (i + 1) c), modulo 2^64; the constants are in ops.h
//
//   input  any shape, any dtype, of which the kernel knows only how many bytes an element has
//   out    i64 scalar
//
// One launch. Elements are read in packs of 16 bytes, four of a thread under way (device/elementwise.cuh), and added in
// registers, by shuffles and in shared memory; then each block adds its sum to a total, atomically. The block that
// finishes last stores the total, so that nothing has to set `out` to 0 before. Integers: any order gives the CPU's
// bits. sizeof(T) bytes and two products of 64 bits an element, which take some 15 instructions on words of 32: memory
// bounds the speed for elements of 8 bytes, arithmetic for small ones.
#include "ops/checksum.h"

#include "device/elementwise.cuh"
#include "device/reduce.cuh"

namespace mezzo {
namespace {

// Of the running launch, enough for all of them: a device has one stream. Both are 0 between launches.
__device__ unsigned long long total;
__device__ unsigned int arrived; // blocks that have finished

using Words = Pack<uint32_t, kAccessBytes / sizeof(uint32_t)>;

/// Element k of a pack. Shifted out of words, because bytes of a struct may be loaded in parts, to a register each.
template <class Bits>
__device__ __forceinline__ uint64_t element_of(const Words &pack, int k) {
    if constexpr (sizeof(Bits) == sizeof(uint64_t)) {
        return pack.value[2 * k] | static_cast<uint64_t>(pack.value[2 * k + 1]) << 32;
    } else {
        constexpr int kElements = static_cast<int>(sizeof(uint32_t) / sizeof(Bits)); // of a word
        constexpr int kBits = 8 * static_cast<int>(sizeof(Bits));
        return static_cast<Bits>(pack.value[k / kElements] >> (k % kElements * kBits));
    }
}

/// Sum of the elements of the calling thread.
template <class Bits>
__device__ __forceinline__ uint64_t thread_sum(const MapShape &shape, const Bits *input) {
    constexpr int kWidth = kPackWidth<Bits>;
    // Of one-byte elements fewer: their sixteen terms take the registers, and the time.
    constexpr int kInFlight = sizeof(Bits) == 1 ? 1 : kMapInFlight<kWidth>;
    const int64_t thread = grid_thread();
    const int stride = static_cast<int>(grid_threads()); // kMapGrid blocks a multiprocessor at most
    uint64_t sum = 0;
    for (int64_t first = thread; first < shape.packs; first += int64_t{kInFlight} * stride) {
        const int64_t left = shape.packs - first;
        const auto *from = reinterpret_cast<const Words *>(input + shape.head) + first;
        Words packs[kInFlight]{};
        MEZZO_UNROLL
        for (int n = 0; n < kInFlight; ++n) {
            if (n * stride < left) packs[n] = from[n * stride];
        }
        MEZZO_UNROLL
        for (int n = 0; n < kInFlight; ++n) {
            if (n * stride >= left) break;
            const int64_t index = shape.head + (first + n * stride) * kWidth;
            MEZZO_UNROLL
            for (int k = 0; k < kWidth; ++k) sum += checksum_term(element_of<Bits>(packs[n], k), index + k);
        }
    }
    // Both ends together have fewer elements than a block has threads.
    const int64_t index = thread < shape.head ? thread : thread + kWidth * shape.packs;
    if (index < shape.elements) sum += checksum_term(input[index], index);
    return sum;
}

/// Adds up over the calling thread block: for all of its threads.
__device__ __forceinline__ uint64_t block_sum(uint64_t sum) {
    MEZZO_SHARED(uint64_t[kMapThreads / kWarpSize], of_warps);
    MEZZO_UNROLL
    for (unsigned int width = kWarpSize / 2; width > 0; width /= 2) sum += __shfl_down_sync(kFullMask, sum, width);
    if (threadIdx.x % kWarpSize == 0) of_warps[threadIdx.x / kWarpSize] = sum;
    __syncthreads();
    uint64_t all = 0;
    MEZZO_UNROLL
    for (const uint64_t warp : of_warps) all += warp;
    return all;
}

template <class Bits>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    checksum_kernel(MapShape shape, int64_t *out, const Bits *input) {
    const uint64_t sum = block_sum(thread_sum(shape, input));
    if (threadIdx.x == 0) atomicAdd(&total, static_cast<unsigned long long>(sum));
    if (!sum_detail::is_last_block(&arrived)) return;
    if (threadIdx.x == 0) *out = static_cast<int64_t>(atomicExch(&total, 0ULL)); // and 0 for the next launch
}

void checksum_on_cuda(Device &device, const Checksum &arguments) {
    visit_bits(arguments.input.dtype, [&](auto tag) {
        using Bits = typename decltype(tag)::type;
        const auto *input = reinterpret_cast<const Bits *>(arguments.input.data);
        launch_map(device, map_shape(arguments.input.elements, input), checksum_kernel<Bits>,
                   arguments.out.as<int64_t>(), input);
    });
}

const Implementation<Checksum> cuda_checksum(MEZZO_DEVICE_TYPE_CUDA, checksum_on_cuda);

} // namespace
} // namespace mezzo
