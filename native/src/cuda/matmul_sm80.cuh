// SPDX-License-Identifier: MIT
// Matrix products by tensor cores from compute capability 8.0 on: f16, bf16, and f32 as TF32.
//
//   out[m, n] = epilogue(sum over k of a[i, k] b[k, j])
//
// A block computes a tile of kM x kN, its warps parts of that in registers. Tiles of a and b, kK deep, come by cp.async
// into a ring of kStages places in shared memory, so that kStages - 1 are on their way while one is multiplied; within
// a tile, the fragments of one slice are read while those before are multiplied. One barrier for each tile: it says
// both that the next tile is there and that all warps have read the one before, whose place the next copies take.
//
// Accumulated in f32 by the tensor cores: slices of k in order, the elements of a slice in an order of theirs. Parts of
// k are added in order. Deterministic. 2 m n k FLOP; reads a n / kN times and b m / kM times, mostly from the
// second-level cache. The rest is in docs/kernels/cuda-matmul-tensor-cores.md.
#pragma once

#include "cuda/matmul_block.cuh"

#include <array>

namespace mezzo {

/// Starts to copy a tile, of which k goes `k_left` far, and zeros where the matrix ends.
template <unsigned kCopyBytes, class Source>
__device__ __forceinline__ void copy_async(std::byte *to, const Source &source, int k_left) {
    using Copies = typename Source::Copies;
    if (source.whole()) {
#pragma unroll
        for (unsigned i = 0; i < Copies::kCount; ++i) {
            if (!Copies::exists(threadIdx.x, i)) continue;
            ptx::cp_async<kCopyBytes>(to + Copies::offset(threadIdx.x, i), source.from(i),
                                      source.elements_left(i, k_left) > 0);
        }
    } else if constexpr (kCopyBytes == 4 && sizeof(typename Source::T) == 2) {
#pragma unroll 4
        for (unsigned i = 0; i < Copies::kCount; ++i) {
            if (!Copies::exists(threadIdx.x, i)) continue;
            *reinterpret_cast<uint32_t *>(to + Copies::offset(threadIdx.x, i)) = source.pair(i, k_left);
        }
    }
}

template <class Types>
__global__ void __launch_bounds__(Types::Shape::kThreads, Types::Shape::kBlocks)
    matmul_sm80_kernel(MatmulArguments arguments) {
#if MEZZO_CUDA_FROM(800)
    using Shape = typename Types::Shape;
    constexpr int kAhead = Shape::kStages - 1; // tiles on their way
    MEZZO_DYNAMIC_SHARED(std::byte, shared);

    const MatmulTile tile = tile_of_block(arguments, blockIdx.x);
    const Steps steps(tile, Shape::kK);
    ASource<Types> a = a_source<Types>(arguments, tile);
    BSource<Types> b = b_source<Types>(arguments, tile);
    const auto copy = [&](int step, std::byte *to) {
        if (step < steps.count) {
            const int k_left = steps.depth(step, Shape::kK);
            copy_async<Types::kCopyBytes>(to, a, k_left);
            copy_async<Types::kCopyBytes>(to + Types::kBOffset, b, k_left);
            a.advance();
            b.advance();
        }
        ptx::cp_async_commit(); // an empty group where there is no tile, so that waits count alike
    };
    for (int step = 0; step < kAhead; ++step) copy(step, shared + static_cast<unsigned>(step) * Types::kStageBytes);
    ptx::cp_async_wait<kAhead - 1>();
    __syncthreads();

    typename Types::Warp warp = make_warp<Types>();
    unsigned reading = 0;
    unsigned writing = kAhead;
    const std::byte *from = shared;
    warp.load(0, from, from + Types::kBOffset, 0);
    for (int step = 0; step < steps.count; ++step) {
#pragma unroll
        for (unsigned slice = 0; slice < Types::kSlices; ++slice) {
            warp.load_late(from + Types::kBOffset, slice);
            if (slice == Types::kSlices - 1) {
                ptx::cp_async_wait<kAhead - 1>();
                __syncthreads();
                reading = reading + 1 == Shape::kStages ? 0 : reading + 1;
                from = shared + reading * Types::kStageBytes;
            }
            warp.load((slice + 1) % 2, from, from + Types::kBOffset, (slice + 1) % Types::kSlices);
            if (slice == 0) {
                copy(step + kAhead, shared + writing * Types::kStageBytes);
                writing = writing + 1 == Shape::kStages ? 0 : writing + 1;
            }
            warp.multiply(slice % 2);
        }
    }
    finish_tile<Types>(arguments, warp, shared);
#endif
}

template <class Mma, Layout kLayout, class Shape, unsigned kCopyBytes>
constexpr MatmulKernel sm80_kernel() {
    using Types = BlockTypes<Mma, kLayout, Shape, kCopyBytes>;
    return describe_kernel<Types, matmul_sm80_kernel<Types>>();
}

/// The kernels of halves in one layout.
template <class T, Layout kLayout>
inline constexpr std::array kSm80Kernels{
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<256, 128, 32, 4, 2, 4, 1>, 16>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<128, 160, 32, 2, 2, 3, 1>, 16>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<128, 128, 32, 2, 2, 3, 2>, 16>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<128, 128, 32, 2, 2, 3, 2>, 4>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<64, 160, 32, 2, 2, 3, 3>, 16>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<64, 160, 32, 2, 2, 3, 2>, 4>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<64, 64, 64, 2, 2, 3, 4>, 16>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<64, 64, 64, 2, 2, 3, 4>, 4>(),
};

} // namespace mezzo
