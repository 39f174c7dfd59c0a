// SPDX-License-Identifier: MIT
// What a warp does with operands in shared memory: fragments of a and b for a slice of k, and the products of the
// fragments. The same for all families but for the instruction, an Mma:
//
//   Element, kDepth    of a and b; of a slice: 16 halves or 8 f32, two chunks of a row either way
//   kName, kUnit, kOldestArch of the family: what its kernels are called by, multiply with and run on
//   prepare            what a fragment's registers go through after they were read, kPrepareInstructions for all four
//   multiply           d += a b for 16 rows, 8 columns and a slice's depth, accumulated in f32, by kInstructions
//
// Fragments as the PTX manual lays them out, lane = 4 g + t: a[0] holds row g and elements (2t, 2t + 1) of the first
// half of the depth, a[1] row g + 8, a[2] and a[3] the same of the second half; b[0] and b[1] column g and the two
// halves; d[0], d[1] row g and columns 2t, 2t + 1; d[2], d[3] row g + 8. f32 has element t where halves have a pair.
#pragma once

#include "core/dtype.h"
#include "cuda/matmul_operand.h"
#include "device/kernel.cuh"
#include "device/ptx.cuh"

#include <bit>

/// Whether code for compute capability `arch`, in the form of __CUDA_ARCH__, and newer is wanted here. Kernels are
/// empty where it is not: the choice never leads there.
#if defined(MEZZO_CUDA_SIM)
#define MEZZO_CUDA_FROM(arch) 1
#elif defined(__CUDA_ARCH__)
#define MEZZO_CUDA_FROM(arch) (__CUDA_ARCH__ >= (arch))
#else
#define MEZZO_CUDA_FROM(arch) 0
#endif

namespace mezzo {

/// mma.m16n8k16 of f16 or bf16.
template <class T>
struct HalfMma {
    using Element = T;
    static constexpr unsigned kDepth = 16;
    static constexpr const char *kName = std::is_same_v<T, Half> ? "sm80_f16" : "sm80_bf16";
    static constexpr MatmulUnit kUnit = MatmulUnit::kMmaK16;
    static constexpr int kOldestArch = 80;
    static constexpr unsigned kInstructions = 1;
    static constexpr unsigned kPrepareInstructions = 0;

    __device__ __forceinline__ static void prepare(uint32_t &) {}
    __device__ __forceinline__ static void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
        ptx::mma_m16n8k16<T>(d, a, b);
    }
};

/// The same by the instruction that sm_75 has, half as deep.
struct TuringMma {
    using Element = Half;
    static constexpr unsigned kDepth = 16;
    static constexpr const char *kName = "sm75_f16";
    static constexpr MatmulUnit kUnit = MatmulUnit::kMmaK8;
    static constexpr int kOldestArch = 75;
    static constexpr unsigned kInstructions = 2;
    static constexpr unsigned kPrepareInstructions = 0;

    __device__ __forceinline__ static void prepare(uint32_t &) {}
    __device__ __forceinline__ static void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
        ptx::mma_m16n8k8<Half>(d, {a[0], a[1]}, {b[0]});
        ptx::mma_m16n8k8<Half>(d, {a[2], a[3]}, {b[1]});
    }
};

/// mma.m16n8k8 of f32 rounded to TF32, to nearest.
struct Tf32Mma {
    using Element = float;
    static constexpr unsigned kDepth = 8;
    static constexpr const char *kName = "sm80_tf32";
    static constexpr MatmulUnit kUnit = MatmulUnit::kMmaK16;
    static constexpr int kOldestArch = 80;
    static constexpr unsigned kInstructions = 1;
    static constexpr unsigned kPrepareInstructions = 8; // a conversion is two

    __device__ __forceinline__ static void prepare(uint32_t &element) {
        element = ptx::to_tf32(std::bit_cast<float>(element));
    }
    __device__ __forceinline__ static void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
        ptx::mma_m16n8k8_tf32(d, a, b);
    }
};

/// Reads fragments of an operand's tile.
template <class Mma, class Tile, unsigned kBlocks, Quarter (*kQuarter)(unsigned)>
class FragmentReader {
  public:
    __device__ __forceinline__ FragmentReader(unsigned first, unsigned lane) : offsets_(first, lane, kQuarter) {}

    __device__ __forceinline__ void read(uint32_t (&fragment)[4], const std::byte *tile, unsigned block,
                                         unsigned slice) const {
        if constexpr (Tile::kReadsElements) {
#pragma unroll
            for (unsigned i = 0; i < 4; ++i) {
                fragment[i] = *reinterpret_cast<const uint32_t *>(tile + offsets_.element(block, slice, kQuarter(i)));
            }
        } else if constexpr (Tile::kDepthContiguous) {
            ptx::ldmatrix_x4(fragment, tile + offsets_.chunk(block, slice));
        } else {
            ptx::ldmatrix_x4_trans(fragment, tile + offsets_.chunk(block, slice));
        }
#pragma unroll
        for (uint32_t &element : fragment) Mma::prepare(element);
    }

  private:
    FragmentOffsets<Tile, kBlocks> offsets_;
};

/// A warp's part of a block's tile: kRows x kColumns of it, from (row, column).
template <class Mma, class ATile, class BTile, unsigned kRows, unsigned kColumns>
class WarpTile {
    static_assert(kRows % 16 == 0 && kColumns % 16 == 0);

  public:
    static constexpr unsigned kRowBlocks = kRows / 16;
    static constexpr unsigned kColumnPairs = kColumns / 16; // of fragments of 8 columns

    /// Pairs of b that load() reads. Two sets of all of them do not fit beside more than 128 sums of a thread.
    static constexpr unsigned kEarlyPairs = kRowBlocks * kColumnPairs > 16 ? 1 : kColumnPairs;

    __device__ __forceinline__ WarpTile(unsigned row, unsigned column)
        : row_(row),
          column_(column),
          a_reader_(row, threadIdx.x % kWarpSize),
          b_reader_(column, threadIdx.x % kWarpSize) {}

    /// Reads the fragments of a slice into one of two sets of registers, but for those that load_late() reads.
    __device__ __forceinline__ void load(unsigned set, const std::byte *a, const std::byte *b, unsigned slice) {
#pragma unroll
        for (unsigned i = 0; i < kRowBlocks; ++i) {
            a_reader_.read(a_[set][i], a, i, slice);
        }
#pragma unroll
        for (unsigned j = 0; j < kEarlyPairs; ++j) {
            b_reader_.read(b_[set][j], b, j, slice);
        }
    }

    /// Reads the rest of a slice's fragments, shortly before they are multiplied.
    __device__ __forceinline__ void load_late(const std::byte *b, unsigned slice) {
#pragma unroll
        for (unsigned j = kEarlyPairs; j < kColumnPairs; ++j) {
            b_reader_.read(b_late_[j - kEarlyPairs], b, j, slice);
        }
    }

    /// Adds the products of a set. Neighbouring instructions share a fragment and never an accumulator.
    __device__ __forceinline__ void multiply(unsigned set) {
#pragma unroll
        for (unsigned j = 0; j < kColumnPairs; ++j) {
            const uint32_t(&pair)[4] = j < kEarlyPairs ? b_[set][j] : b_late_[j - kEarlyPairs];
#pragma unroll
            for (unsigned half = 0; half < 2; ++half) {
                const uint32_t b[2] = {pair[2 * half], pair[2 * half + 1]};
#pragma unroll
                for (unsigned i = 0; i < kRowBlocks; ++i) {
                    const unsigned row = half == 0 ? i : kRowBlocks - 1 - i;
                    Mma::multiply(sums_[row][2 * j + half], a_[set][row], b);
                }
            }
        }
    }

    /// Writes the sums of rows [first, first + rows) of the block's tile to `staging`, whose rows are `stride` apart.
    __device__ __forceinline__ void stage(float *staging, unsigned stride, unsigned first, unsigned rows) const {
        const unsigned lane = threadIdx.x % kWarpSize;
        const unsigned column = column_ + lane % 4 * 2;
#pragma unroll
        for (unsigned i = 0; i < kRowBlocks; ++i) {
            const unsigned block = row_ + 16 * i;
            if (block < first || block >= first + rows) continue;
            float *const to = staging + (block - first + lane / 4) * stride + column;
#pragma unroll
            for (unsigned j = 0; j < 2 * kColumnPairs; ++j) {
                *reinterpret_cast<float2 *>(to + 8 * j) = float2{sums_[i][j][0], sums_[i][j][1]};
                *reinterpret_cast<float2 *>(to + 8 * stride + 8 * j) = float2{sums_[i][j][2], sums_[i][j][3]};
            }
        }
    }

  private:
    const unsigned row_, column_;
    const FragmentReader<Mma, ATile, kRowBlocks, a_quarter> a_reader_;
    const FragmentReader<Mma, BTile, kColumnPairs, b_quarter> b_reader_;
    float sums_[kRowBlocks][2 * kColumnPairs][4] = {};
    uint32_t a_[2][kRowBlocks][4];
    uint32_t b_[2][kEarlyPairs][4];
    uint32_t b_late_[kColumnPairs - kEarlyPairs + 1][4];
};

} // namespace mezzo
