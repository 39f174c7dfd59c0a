// SPDX-License-Identifier: MIT
// Matrix products of f16 by the tensor cores of compute capability 7.5, which has no cp.async.
//
//   out[m, n] = epilogue(sum over k of a[i, k] b[k, j])
//
// As matmul_sm80.cuh, but that the next tile waits in registers: its loads start with a tile's first slice, and it is
// stored to the other of two places in shared memory before the last one is multiplied. These run on newer
// architectures too, where they are of use for nothing but a k of less than the other kernels' tiles.
//
// Accumulation, determinism, FLOP and bytes: as there.
#pragma once

#include "cuda/matmul_block.cuh"

#include <array>

namespace mezzo {

/// This thread's part of a tile on its way from global to shared memory.
template <class Source, unsigned kCopyBytes>
class HeldTile {
    using Copies = typename Source::Copies;
    using Copy = std::conditional_t<kCopyBytes == 16, uint4, uint32_t>;

  public:
    /// Starts to read a tile, which is whole in k or, for the first, `depth` deep.
    template <bool kWhole>
    __device__ __forceinline__ void fetch(const Source &source, unsigned depth) {
        if (source.whole()) {
            const typename Source::Addresses from = source.addresses();
#pragma unroll
            for (unsigned i = 0; i < Copies::kCount; ++i) {
                held_[i] = Copy{};
                if (!Copies::exists(threadIdx.x, i) || !(kWhole ? source.has(i) : source.has(i, depth))) continue;
                held_[i] = *reinterpret_cast<const Copy *>(from.of(i));
            }
        } else if constexpr (kCopyBytes == 4) {
#pragma unroll
            for (unsigned i = 0; i < Copies::kCount; ++i) {
                held_[i] = Copies::exists(threadIdx.x, i) ? source.pair(i, depth) : 0u;
            }
        }
    }

    __device__ __forceinline__ void store(std::byte *to) const {
#pragma unroll
        for (unsigned i = 0; i < Copies::kCount; ++i) {
            if (!Copies::exists(threadIdx.x, i)) continue;
            *reinterpret_cast<Copy *>(to + Copies::offset(threadIdx.x, i)) = held_[i];
        }
    }

  private:
    Copy held_[Copies::kCount];
};

template <class Types>
__global__ void __launch_bounds__(Types::Shape::kThreads, Types::Shape::kBlocks)
    matmul_sm75_kernel(MatmulArguments arguments) {
    using Shape = typename Types::Shape;
    static_assert(Shape::kStages == 2);
    MEZZO_DYNAMIC_SHARED(std::byte, shared);

    const MatmulTile tile = tile_of_block(arguments, blockIdx.x);
    const Steps steps(tile, Shape::kK);
    ASource<Types> a = a_source<Types>(arguments, tile);
    BSource<Types> b = b_source<Types>(arguments, tile);
    HeldTile<ASource<Types>, Types::kCopyBytes> held_a;
    HeldTile<BSource<Types>, Types::kCopyBytes> held_b;
    const auto fetch = [&]<bool kWhole>(std::bool_constant<kWhole>, unsigned depth) {
        held_a.template fetch<kWhole>(a, depth);
        held_b.template fetch<kWhole>(b, depth);
        if constexpr (kWhole) {
            a.advance();
            b.advance();
        } else {
            a.advance(depth);
            b.advance(depth);
        }
    };
    const auto store = [&](std::byte *to) {
        held_a.store(to);
        held_b.store(to + Types::kBOffset);
    };
    fetch(std::false_type{}, steps.first_depth);
    store(shared);
    __syncthreads();

    typename Types::Warp warp = make_warp<Types>();
    std::byte *from = shared;
    std::byte *to = shared + Types::kStageBytes;
    warp.load(0, from, from + Types::kBOffset, 0);
    for (int step = 0; step < steps.count; ++step) {
#pragma unroll
        for (unsigned slice = 0; slice < Types::kSlices; ++slice) {
            warp.load_late(from + Types::kBOffset, slice);
            if (slice == Types::kSlices - 1) {
                store(to);
                __syncthreads();
                std::byte *const read = from;
                from = to;
                to = read;
            }
            warp.load((slice + 1) % 2, from, from + Types::kBOffset, (slice + 1) % Types::kSlices);
            if (slice == 0 && step + 1 < steps.count) fetch(std::true_type{}, Shape::kK);
            warp.multiply(slice % 2);
        }
    }
    finish_tile<Types>(arguments, warp, shared);
}

template <Layout kLayout, class Shape, unsigned kCopyBytes>
constexpr MatmulKernel sm75_kernel() {
    using Types = BlockTypes<TuringMma, kLayout, Shape, kCopyBytes>;
    return describe_kernel<Types, matmul_sm75_kernel<Types>>(5); // as of sm80, and zeros and a store
}

/// The kernels of one layout.
template <Layout kLayout>
inline constexpr std::array kSm75Kernels{
    sm75_kernel<kLayout, BlockShape<128, 128, 32, 4, 2, 2, 1>, 16>(),
    sm75_kernel<kLayout, BlockShape<64, 64, 32, 2, 2, 2, 4>, 16>(),
    sm75_kernel<kLayout, BlockShape<64, 64, 32, 2, 2, 2, 4>, 4>(),
};

} // namespace mezzo
