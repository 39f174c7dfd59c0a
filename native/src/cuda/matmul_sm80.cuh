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

/// Starts to copy a tile, with zeros where the matrix ends. It is whole in k or, for the first, `depth` deep.
template <unsigned kCopyBytes, bool kWhole, bool kPairs, class Source>
__device__ __forceinline__ void copy_async(std::byte *to, const Source &source, unsigned depth) {
    using Copies = typename Source::Copies;
    if (!kPairs || source.whole()) {
        const typename Source::Addresses from = source.addresses();
#pragma unroll
        for (unsigned i = 0; i < Copies::kCount; ++i) {
            if (!Copies::exists(threadIdx.x, i)) continue;
            ptx::cp_async<kCopyBytes>(to + source.offset(i), from.of(i), kWhole ? source.has(i) : source.has(i, depth));
        }
    } else if constexpr (kPairs) {
#pragma unroll 4
        for (unsigned i = 0; i < Copies::kCount; ++i) {
            if (!Copies::exists(threadIdx.x, i)) continue;
            *reinterpret_cast<uint32_t *>(to + Copies::offset(threadIdx.x, i)) = source.pair(i, depth);
        }
    }
}

/// A block's products. When kPairs, operands may have rows that are copied half by half.
template <class Types, bool kPairs>
__device__ __forceinline__ void multiply_tiles(typename Types::Warp &warp, ASource<Types> &a, BSource<Types> &b,
                                               const Steps &steps, std::byte *shared) {
    using Shape = typename Types::Shape;
    constexpr int kAhead = Shape::kStages - 1; // tiles on their way
    const auto copy_tile = [&]<bool kWhole>(std::bool_constant<kWhole>, std::byte *to, unsigned depth) {
        copy_async<Types::kCopyBytes, kWhole, kPairs>(to, a, depth);
        copy_async<Types::kCopyBytes, kWhole, kPairs>(to + Types::kBOffset, b, depth);
        if constexpr (kWhole) {
            a.advance();
            b.advance();
        } else {
            a.advance(depth);
            b.advance(depth);
        }
    };
    const auto copy = [&](int step, std::byte *to) {
        if (step < steps.count) copy_tile(std::true_type{}, to, Shape::kK);
        ptx::cp_async_commit(); // an empty group where there is no tile, so that waits count alike
    };
    copy_tile(std::false_type{}, shared, steps.first_depth);
    ptx::cp_async_commit();
    for (int step = 1; step < kAhead; ++step) copy(step, shared + static_cast<unsigned>(step) * Types::kStageBytes);
    ptx::cp_async_wait<kAhead - 1>();
    __syncthreads();

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
}

template <class Types>
__global__ void __launch_bounds__(Types::Shape::kThreads, Types::Shape::kBlocks)
    matmul_sm80_kernel(MatmulArguments arguments) {
#if MEZZO_CUDA_FROM(800)
    MEZZO_DYNAMIC_SHARED(std::byte, shared);

    const MatmulTile tile = tile_of_block(arguments, blockIdx.x);
    const Steps steps(tile, Types::Shape::kK);
    ASource<Types> a = a_source<Types>(arguments, tile);
    BSource<Types> b = b_source<Types>(arguments, tile);
    typename Types::Warp warp = make_warp<Types>();
    // Loops of their own: what single halves need would cost the loop of words registers and branches.
    if (a.whole() && b.whole()) {
        multiply_tiles<Types, false>(warp, a, b, steps, shared);
    } else if constexpr (Types::kCopyBytes == 4 && sizeof(typename Types::T) == 2) {
        multiply_tiles<Types, true>(warp, a, b, steps, shared);
    }
    finish_tile<Types>(arguments, warp, shared);
#endif
}

template <class Mma, Layout kLayout, class Shape, unsigned kCopyBytes>
constexpr MatmulKernel sm80_kernel() {
    using Types = BlockTypes<Mma, kLayout, Shape, kCopyBytes>;
    return describe_kernel<Types, matmul_sm80_kernel<Types>>(3); // the copy, its address, whether there is one
}

/// Blocks of the narrow kernel of words. The other layouts would spill a few of the 168 registers that three leave.
template <Layout kLayout>
inline constexpr unsigned kNarrowWordsBlocks = kLayout == Layout::kNt ? 3 : 2;

/// The kernels of halves in one layout.
template <class T, Layout kLayout>
inline constexpr std::array kSm80Kernels{
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<256, 128, 32, 4, 2, 4, 1>, 16>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<128, 160, 32, 2, 2, 3, 1>, 16>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<128, 128, 32, 2, 2, 3, 2>, 16>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<128, 128, 32, 2, 2, 3, 2>, 4>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<64, 160, 32, 2, 2, 3, 3>, 16>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<64, 160, 32, 2, 2, 3, kNarrowWordsBlocks<kLayout>>, 4>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<64, 64, 64, 2, 2, 3, 4>, 16>(),
    sm80_kernel<HalfMma<T>, kLayout, BlockShape<64, 64, 64, 2, 2, 3, 4>, 4>(),
};

} // namespace mezzo
