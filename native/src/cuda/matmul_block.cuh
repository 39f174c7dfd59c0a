// SPDX-License-Identifier: MIT
// What the tensor-core families share around their pipelines: a block's shape and types, where its operands come from,
// the way to the epilogue, names and registration.
#pragma once

#include "cuda/matmul_operand.h"
#include "cuda/matmul_store.cuh"
#include "cuda/matmul_warp.cuh"

namespace mezzo {

/// A block's tile, its division among warps, the tiles in flight and the blocks that a multiprocessor is to hold.
template <unsigned kM_, unsigned kN_, unsigned kK_, unsigned kWarpsM_, unsigned kWarpsN_, unsigned kStages_,
          unsigned kBlocks_>
struct BlockShape {
    static constexpr unsigned kM = kM_;
    static constexpr unsigned kN = kN_;
    static constexpr unsigned kK = kK_;
    static constexpr unsigned kWarpsM = kWarpsM_;
    static constexpr unsigned kWarpsN = kWarpsN_;
    static constexpr unsigned kStages = kStages_;
    static constexpr unsigned kBlocks = kBlocks_;
    static constexpr unsigned kThreads = kWarpSize * kWarpsM * kWarpsN;
};

/// The three products of a linear layer, named as BLAS does: a, b; n as it is, t transposed.
enum class Layout {
    kNt, // forward: input weight^T
    kNn, // gradient of the input: g weight
    kTn, // gradient of the weight: g^T input
};

/// What follows from an instruction, a layout, a shape and the bytes of a copy: 16, or 4 for rows aligned to less.
template <class Mma_, Layout kLayout_, class Shape_, unsigned kCopyBytes_>
struct BlockTypes {
    using Mma = Mma_;
    using Shape = Shape_;
    using T = typename Mma::Element;
    static constexpr Layout kLayout = kLayout_;
    static constexpr bool kATransposed = kLayout == Layout::kTn;
    static constexpr bool kBTransposed = kLayout == Layout::kNt;
    static constexpr unsigned kCopyBytes = kCopyBytes_;
    using ATile = OperandTile<T, kATransposed ? Contiguous::kOuter : Contiguous::kDepth, Shape::kM, Shape::kK>;
    using BTile = OperandTile<T, kBTransposed ? Contiguous::kDepth : Contiguous::kOuter, Shape::kN, Shape::kK>;
    static constexpr unsigned kWarpRows = Shape::kM / Shape::kWarpsM;
    static constexpr unsigned kWarpColumns = Shape::kN / Shape::kWarpsN;
    using Warp = WarpTile<Mma, ATile, BTile, kWarpRows, kWarpColumns>;
    using Epilogue = TileEpilogue<T, Shape::kThreads, Shape::kN>;

    static constexpr unsigned kSlices = Shape::kK / Mma::kDepth;
    static_assert(kSlices % 2 == 0, "the two sets of fragments alternate");
    static constexpr unsigned kStageBytes = ATile::kBytes + BTile::kBytes; // a, then b
    static constexpr unsigned kBOffset = ATile::kBytes;
    static constexpr int64_t kSharedBytes = int64_t{Shape::kStages} * kStageBytes;

    /// Rows that the epilogue stages at once: as many as fit where the tiles were.
    static constexpr unsigned kStagedRows = [] {
        unsigned rows = Shape::kM;
        while (Epilogue::bytes(static_cast<int>(rows)) > kSharedBytes) rows /= 2;
        return rows;
    }();
    static_assert(kStagedRows % 16 == 0 && kStagedRows >= Epilogue::kSumRows);
};

/// One operand of a block in global memory: tiles along k, one after the other, of which this thread copies parts.
template <class Tile, unsigned kThreads, unsigned kCopyBytes>
class OperandSource {
  public:
    using T = typename Tile::Element;
    using Copies = TileCopies<Tile, kThreads, kCopyBytes>;

    /// The matrix has `outer` rows of `depth`, or the reverse, of less than 4 GB each; the first tile begins at
    /// `first`, `k_begin`. Accesses of up to `vector` elements are aligned, more where the kernel was chosen for it.
    __device__ __forceinline__ OperandSource(const std::byte *matrix, int64_t outer, int64_t depth, int64_t first,
                                             int64_t k_begin, int vector)
        : pitch_(ptx::keep(static_cast<uint32_t>((Tile::kDepthContiguous ? depth : outer) * int64_t{sizeof(T)}))),
          outer_left_(
              (outer - first < Tile::kOuter ? static_cast<int>(outer - first) : static_cast<int>(Tile::kOuter)) -
              static_cast<int>(first_outer())),
          whole_(vector * static_cast<int>(sizeof(T)) >= 4),
          from_(matrix + ((Tile::kDepthContiguous ? first : k_begin) + Copies::row(threadIdx.x, 0)) * int64_t{pitch_} +
                (Tile::kDepthContiguous ? k_begin : first) * int64_t{sizeof(T)} + Copies::byte(threadIdx.x, 0)) {
        for (unsigned i = 0; i < Copies::kPlaces; ++i) places_[i] = Copies::place(ptx::thread_index(), i);
    }

    /// Whether copies can be made whole, or have to be put together from single elements.
    __device__ __forceinline__ bool whole() const {
        if constexpr (kCopyBytes == 16 || sizeof(T) == 4) return true;
        return whole_;
    }

    /// Where a copy writes, in bytes from the tile's start in shared memory.
    __device__ __forceinline__ unsigned offset(unsigned copy) const {
        return places_[copy % Copies::kPlaces] + Copies::distance(threadIdx.x, copy);
    }

    /// To the next tile along k, behind a whole one or one that is `depth` deep.
    __device__ __forceinline__ void advance() {
        from_ += Tile::kDepthContiguous ? int64_t{Tile::kDepth * sizeof(T)} : Tile::kDepth * int64_t{pitch_};
    }
    __device__ __forceinline__ void advance(unsigned depth) {
        from_ += depth * (Tile::kDepthContiguous ? int64_t{sizeof(T)} : int64_t{pitch_});
    }

    /// Where this thread's copies read, worked out for a tile: kept from one to the next, that would take two registers
    /// a row. A row is one multiply-add of a pitch of 32 bits away, and spans of a row are constants away.
    struct Addresses {
        const std::byte *rows[Copies::kRows];

        __device__ __forceinline__ const std::byte *of(unsigned copy) const {
            return rows[copy % Copies::kRows] + bytes(copy);
        }
    };
    __device__ __forceinline__ Addresses addresses() const {
        Addresses result;
#pragma unroll
        for (unsigned i = 0; i < Copies::kRows; ++i) result.rows[i] = from_ + i * Copies::kStep * uint64_t{pitch_};
        return result;
    }

    /// Whether the matrix has a copy's first element: in any tile, which k fills, or in the first, which it fills as
    /// far as `depth`.
    __device__ __forceinline__ bool has(unsigned copy) const {
        const int at = static_cast<int>(Tile::kDepthContiguous ? rows(copy) : bytes(copy) / unsigned{sizeof(T)});
        // Where each copy has a row of its own, and there are more than predicate registers, asking anew is cheaper
        // than what the compiler does to remember.
        if constexpr (Tile::kDepthContiguous && Copies::kCount > 7) return at < ptx::keep(outer_left_);
        return at < outer_left_;
    }
    __device__ __forceinline__ bool has(unsigned copy, unsigned depth) const {
        const unsigned at = Tile::kDepthContiguous ? Copies::byte(threadIdx.x, copy) / unsigned{sizeof(T)}
                                                   : Copies::row(threadIdx.x, copy);
        return has(copy) && at < depth;
    }

    /// Two halves from there, 0 where the matrix has none, for rows of halves that are aligned to nothing more.
    __device__ __forceinline__ uint32_t pair(unsigned copy, unsigned depth) const {
        static_assert(sizeof(T) == 2);
        const int columns_left = Tile::kDepthContiguous
                                     ? static_cast<int>(depth - Copies::byte(threadIdx.x, 0) / unsigned{sizeof(T)})
                                     : outer_left_;
        const int left = has(copy, depth) ? columns_left - static_cast<int>(bytes(copy) / sizeof(T)) : 0;
        const T *const at = reinterpret_cast<const T *>(from_ + int64_t{rows(copy)} * pitch_ + bytes(copy));
        const uint32_t low = left > 0 ? at[0].bits : 0u;
        const uint32_t high = left > 1 ? at[1].bits : 0u;
        return low | high << 16;
    }

  private:
    /// From this thread's first copy to another, in the matrix.
    __device__ __forceinline__ static unsigned rows(unsigned copy) {
        return Copies::row(threadIdx.x, copy) - Copies::row(threadIdx.x, 0);
    }
    __device__ __forceinline__ static unsigned bytes(unsigned copy) {
        return Copies::byte(threadIdx.x, copy) - Copies::byte(threadIdx.x, 0);
    }

    __device__ __forceinline__ static unsigned first_outer() {
        return Tile::kDepthContiguous ? Copies::row(threadIdx.x, 0)
                                      : Copies::byte(threadIdx.x, 0) / unsigned{sizeof(T)};
    }

    unsigned places_[Copies::kPlaces];
    uint32_t pitch_;
    int outer_left_; // from this thread's first copy on
    bool whole_;
    const std::byte *from_;
};

template <class Types>
using ASource = OperandSource<typename Types::ATile, Types::Shape::kThreads, Types::kCopyBytes>;
template <class Types>
using BSource = OperandSource<typename Types::BTile, Types::Shape::kThreads, Types::kCopyBytes>;

template <class Types>
__device__ __forceinline__ ASource<Types> a_source(const MatmulArguments &arguments, const MatmulTile &tile) {
    const int64_t batch = int64_t{tile.batch} * arguments.a_batch_stride * int64_t{sizeof(typename Types::T)};
    return {arguments.a + batch, arguments.m,       arguments.k, int64_t{tile.tile_m} * Types::Shape::kM,
            tile.k_begin,        arguments.a_vector};
}

template <class Types>
__device__ __forceinline__ BSource<Types> b_source(const MatmulArguments &arguments, const MatmulTile &tile) {
    const int64_t batch = int64_t{tile.batch} * arguments.b_batch_stride * int64_t{sizeof(typename Types::T)};
    return {arguments.b + batch, arguments.n,       arguments.k, int64_t{tile.tile_n} * Types::Shape::kN,
            tile.k_begin,        arguments.b_vector};
}

/// A block's steps along k: a first tile that may be less, so that the main loop has none but whole ones. Where k is
/// contiguous, the rows of a tile are then aligned to no less than those of the matrix.
struct Steps {
    int count;
    unsigned first_depth;

    __device__ __forceinline__ Steps(const MatmulTile &tile, unsigned depth)
        : count(static_cast<int>((tile.k_end - tile.k_begin + depth - 1) / depth)),
          first_depth(static_cast<unsigned>(tile.k_end - tile.k_begin - int64_t{count - 1} * depth)) {}
};

/// This thread's warp, with sums of zero.
template <class Types>
__device__ __forceinline__ typename Types::Warp make_warp() {
    const unsigned warp = threadIdx.x / kWarpSize;
    return {warp / Types::Shape::kWarpsN * Types::kWarpRows, warp % Types::Shape::kWarpsN * Types::kWarpColumns};
}

/// Hands the sums to the epilogue, through the shared memory that the tiles were in. The tile is worked out again,
/// since the main loop has no registers left to keep it in.
template <class Types>
__device__ __forceinline__ void finish_tile(const MatmulArguments &arguments, const typename Types::Warp &warp,
                                            std::byte *shared) {
    const MatmulTile tile = tile_of_block(arguments, ptx::block_index());
    float *const staging = reinterpret_cast<float *>(shared);
    typename Types::Epilogue epilogue(arguments, tile, static_cast<int>(Types::Shape::kM), staging);
    for (unsigned first = 0; first < Types::Shape::kM; first += Types::kStagedRows) {
        __syncthreads();
        warp.stage(staging, Types::Epilogue::kStride, first, Types::kStagedRows);
        __syncthreads();
        epilogue.template store<Types::kStagedRows>(static_cast<int>(first));
    }
    epilogue.finish();
}

/// "matmul_sm80_f16_128x128x32_nt", with "_words" at the end when copies are of 4 bytes.
template <class Types>
inline constexpr KernelName kKernelName = [] {
    using Shape = typename Types::Shape;
    constexpr const char *kLayouts[] = {"_nt", "_nn", "_tn"};
    constexpr auto kSize = [](unsigned size) { return static_cast<int>(size); };
    return KernelName() + "matmul_" + Types::Mma::kName + "_" + kSize(Shape::kM) + "x" + kSize(Shape::kN) + "x" +
           kSize(Shape::kK) + kLayouts[static_cast<int>(Types::kLayout)] + (Types::kCopyBytes == 16 ? "" : "_words");
}();

/// Launches a kernel of these types: MatmulKernel::launch.
template <class Types, void (*kKernel)(MatmulArguments)>
void launch_block(CudaDevice &device, const MatmulProblem &problem, int splits) {
    using Shape = typename Types::Shape;
    launch_tiles(device, problem, splits, {Shape::kM, Shape::kN, Shape::kK, Shape::kThreads, Types::kSharedBytes},
                 kKernel);
}

/// Instructions of a warp in a turn of the main loop: those that the types make for certain, as many for a copy as the
/// family says, and kOthers. Within a tenth or two of what eng/sass_loop.py counts.
template <class Types>
constexpr int step_instructions(unsigned copy_instructions) {
    using Mma = typename Types::Mma;
    using Warp = typename Types::Warp;
    constexpr unsigned kOthers = 30; // counters, stages, the barrier
    constexpr unsigned kProducts = Warp::kRowBlocks * 2 * Warp::kColumnPairs * Mma::kInstructions;
    constexpr auto kFragment = [](bool reads_elements) { return (reads_elements ? 4 : 1) + Mma::kPrepareInstructions; };
    constexpr unsigned kFragments = Warp::kRowBlocks * kFragment(Types::ATile::kReadsElements) +
                                    Warp::kColumnPairs * kFragment(Types::BTile::kReadsElements);
    constexpr unsigned kCopies = ASource<Types>::Copies::kCount + BSource<Types>::Copies::kCount;
    return static_cast<int>(Types::kSlices * (kProducts + kFragments) + kCopies * copy_instructions + kOthers);
}

/// What the registry is told about a kernel of these types.
template <class Types, void (*kKernel)(MatmulArguments)>
constexpr MatmulKernel describe_kernel(unsigned copy_instructions) {
    using T = typename Types::T;
    using Shape = typename Types::Shape;
    return {.name = kKernelName<Types>.text(),
            .unit = Types::Mma::kUnit,
            .oldest_arch = Types::Mma::kOldestArch,
            .dtype = dtype_of<T>,
            .tf32 = sizeof(T) == 4,
            .a_transposed = Types::kATransposed,
            .b_transposed = Types::kBTransposed,
            .tile_m = Shape::kM,
            .tile_n = Shape::kN,
            .tile_k = Shape::kK,
            .stages = Shape::kStages,
            .threads = Shape::kThreads,
            .shared_bytes = Types::kSharedBytes,
            .alignment = Types::kCopyBytes == 16 ? 16 : static_cast<int>(sizeof(T)),
            .launch = launch_block<Types, kKernel>,
            .step_instructions = step_instructions<Types>(copy_instructions),
            .largest_row = std::numeric_limits<uint32_t>::max()}; // pitches are of 32 bits
}

} // namespace mezzo
