// SPDX-License-Identifier: MIT
// Sums on CUDA with the bits of the CPU's: ops/reduction.h says in which order terms are added.
//
// A warp is the CPU's running sums: lane l adds the terms l, l + 32, ... of a block of kReductionBlock elements, and
// shuffles add the lanes in the CPU's tree. Reading one element a lane is coalesced for any alignment; what keeps the
// memory busy is that a lane loads many elements before it adds the first, up to 256 bytes, 128 KB on each
// multiprocessor. Accesses of 16 bytes would give one thread the elements of several lanes.
// Where f64 runs at 1/32 or 1/64 of f32's rate (all but the GPUs for data centres), converting and adding bound the
// speed: about one element a clock on each multiprocessor, two thirds of that for squared errors.
//
// The sums of the blocks are added by the thread block that finishes last, in the same launch: a second one would
// cost more than the few hundred sums of a usual loss. It finds out by a counter that it sets back to 0. The counter
// is a variable of the kernel's file, on each device its own, and enough for all launches: a device has one stream.
#pragma once

#include "core/host_device.h"
#include "cuda/cuda_device.h"
#include "device/launch.cuh"
#include "ops/reduction.h"

#include <algorithm>

namespace mezzo {

static_assert(kSumLanes == kWarpSize);

inline constexpr int kSumThreads = 128; // of a block
inline constexpr int kSumBlocks = 4;    // of a multiprocessor

/// Rows of 32 elements that a warp has under way.
template <class Loaded>
inline constexpr int kSumRows = static_cast<int>(std::min<size_t>(64, 256 / sizeof(Loaded)));

namespace sum_detail {

/// Adds the terms i, i + 32, ..., kRows of them or, when checked, those before `end`.
template <int kRows, bool checked, class Load, class Term>
__device__ __forceinline__ void add_rows(double &sum, int64_t i, int64_t end, const Load &load, const Term &term) {
    decltype(load(i)) loaded[kRows]{};
    const int left = checked ? static_cast<int>(end - i) : kRows * kWarpSize;
    MEZZO_UNROLL
    for (int row = 0; row < kRows; ++row) {
        if (row * kWarpSize < left) loaded[row] = load(i + row * kWarpSize);
    }
    MEZZO_UNROLL
    for (int row = 0; row < kRows; ++row) {
        if (row * kWarpSize < left) sum += term(i + row * kWarpSize, loaded[row]);
    }
}

} // namespace sum_detail

/// Sum of what the calling warp's lanes have, in the CPU's tree: for lane 0.
__device__ __forceinline__ double sum_of_lanes(double sum) {
    MEZZO_UNROLL
    for (unsigned int width = kWarpSize / 2; width > 0; width /= 2) sum += __shfl_down_sync(kFullMask, sum, width);
    return sum;
}

/// Sum of term(i, load(i)) for i in [begin, end), at most kReductionBlock elements, by the calling warp: for lane 0.
template <int kRows, class Load, class Term>
__device__ __forceinline__ double warp_sum(int64_t begin, int64_t end, const Load &load, const Term &term) {
    constexpr int kLastRows = kRows / 4;
    double sum = 0;
    int64_t i = begin + threadIdx.x % kWarpSize;
    for (; begin + kRows * kWarpSize <= end; begin += kRows * kWarpSize, i += kRows * kWarpSize) {
        sum_detail::add_rows<kRows, false>(sum, i, end, load, term);
    }
    for (; i < end; i += kLastRows * kWarpSize) sum_detail::add_rows<kLastRows, true>(sum, i, end, load, term);
    return sum_of_lanes(sum);
}

/// Calls body(tensor, block, begin, end) by a warp for each block of kReductionBlock elements of the tensors in a table
/// whose tiles these blocks are.
template <class Table, class Body>
__device__ __forceinline__ void run_warp_blocks(const Table &tensors, const Body &body) {
    const int64_t warps = static_cast<int64_t>(gridDim.x) * (kSumThreads / kWarpSize);
    const int64_t warp = blockIdx.x + static_cast<int64_t>(gridDim.x) * (threadIdx.x / kWarpSize);
    for (int64_t tile = warp; tile < tensors.tiles(); tile += warps) {
        const int tensor = tensors.tensor_of(tile);
        const int64_t block = tile - tensors.first_tile(tensor);
        const int64_t begin = block * kReductionBlock;
        const int64_t elements = tensors.elements(tensor);
        body(tensor, block, begin, begin + kReductionBlock < elements ? begin + kReductionBlock : elements);
    }
}

namespace sum_detail {

/// True for all threads of the block that gets here last: what the others wrote before is then visible to it.
__device__ __forceinline__ bool is_last_block(unsigned int *arrived) {
    __syncthreads();
    bool last = false;
    if (threadIdx.x == 0) {
        __threadfence();
        last = atomicAdd(arrived, 1u) == gridDim.x - 1;
        __threadfence();
        if (last) *arrived = 0; // for the next launch
    }
    return __syncthreads_or(last) != 0;
}

/// Adds sums, level by level; what comes after them is overwritten. For all threads of the calling block.
__device__ __forceinline__ double sum_of_sums(double *sums, int64_t count) {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    while (count > 1) {
        const int64_t blocks = reduction_blocks(count);
        double *next = sums + count;
        for (int64_t b = warp; b < blocks; b += kSumThreads / kWarpSize) {
            const int64_t first = b * kReductionBlock;
            const int64_t past = first + kReductionBlock < count ? first + kReductionBlock : count;
            const double sum = warp_sum<16>(
                first, past, [=](int64_t i) { return sums[i]; }, [](int64_t, double term) { return term; });
            if (threadIdx.x % kWarpSize == 0) next[b] = sum;
        }
        __syncthreads();
        sums = next;
        count = blocks;
    }
    return sums[0];
}

} // namespace sum_detail

/// Sum over [0, elements) of block(begin, end), which a warp computes, by the whole grid of kSumThreads threads a
/// block. finish(sum) is called by one thread. `arrived` is a device variable, 0 before and afterwards.
template <class Block, class Finish>
__device__ __forceinline__ void sum_blocks(int64_t elements, double *sums, unsigned int *arrived, const Block &block,
                                           const Finish &finish) {
    const int64_t blocks = reduction_blocks(elements);
    // Spread over the grid first, so that few blocks of elements use many multiprocessors.
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    const int64_t warps = static_cast<int64_t>(gridDim.x) * (kSumThreads / kWarpSize);
    for (int64_t b = blockIdx.x + static_cast<int64_t>(gridDim.x) * warp; b < blocks; b += warps) {
        const int64_t first = b * kReductionBlock;
        const int64_t past = first + kReductionBlock < elements ? first + kReductionBlock : elements;
        const double sum = block(first, past);
        if (threadIdx.x % kWarpSize == 0) sums[b] = sum;
    }
    if (!sum_detail::is_last_block(arrived)) return;
    const double sum = sum_detail::sum_of_sums(sums, blocks);
    if (threadIdx.x == 0) finish(sum);
}

/// Launches a kernel that calls sum_blocks(); the address of its sums goes before `arguments`.
template <class... Params, class... Arguments>
void launch_sum(Device &device, int64_t elements, void (*kernel)(double *, Params...), Arguments &&...arguments) {
    CudaDevice &cuda = cuda_device(device);
    const Scratch<double> sums(device.memory(), sum_room(reduction_blocks(elements)));
    const int64_t most = int64_t{kSumBlocks} * cuda.machine().processors;
    const dim3 grid(static_cast<unsigned int>(std::min(reduction_blocks(elements), most)));
    launch(kernel, grid, dim3(kSumThreads), 0, cuda.stream(), sums.data(), std::forward<Arguments>(arguments)...);
}

} // namespace mezzo
