// SPDX-License-Identifier: MIT
// Rows of matrices on CUDA: their sums have the bits of the CPU's, whose order ops/row.h says.
//
// A warp takes a segment of a row, 1024 elements: lane l reads the packs l, l + 32, ... of four neighbours, 16 bytes of
// f32, all of them before it needs the first, and keeps them. A row of up to a segment is one warp's, and a block has
// four such rows; a wider one is the block's, so that rows of up to 4096 elements are read once from memory and kept in
// registers between the passes over them. What is wider still is read again in each pass. Rows that do not begin at a
// pack, or whose width is no multiple of four, are read element by element.
#pragma once

#include "device/elementwise.cuh"
#include "device/ptx.cuh"
#include "ops/row.h"

#include <array>
#include <tuple>

namespace mezzo {

inline constexpr int kRowThreads = 128; // of a block
inline constexpr int kRowGrid = 16;     // blocks of a grid for each multiprocessor, at most
inline constexpr int kRowPacks = static_cast<int>(kRowSegment / (kWarpSize * kRowPack)); // of a lane
static_assert(kRowThreads == kRowWarps * kWarpSize && kSumLanes == kWarpSize);

/// Blocks of a multiprocessor, by what a lane keeps of a row: the register file has room for so many.
template <class... In>
inline constexpr int kRowBlocks = (std::is_same_v<In, double> || ...) ? 2 : 4;

/// Up to four neighbours.
template <class T>
__device__ __forceinline__ RawPack<T, kRowPack> load_row_pack(const T *from, int count, bool packed) {
    RawPack<T, kRowPack> pack{};
    if (packed) {
        pack.load(from, 0);
    } else {
        Pack<T, kRowPack> elements{};
        MEZZO_UNROLL
        for (int k = 0; k < kRowPack; ++k) {
            if (k < count) elements.value[k] = from[k];
        }
        pack.words = std::bit_cast<typename RawPack<T, kRowPack>::Words>(elements);
    }
    return pack;
}

/// The same of a vector that may be missing; `otherwise` in its place.
template <class T>
__device__ __forceinline__ Pack<T, kRowPack> load_row_pack_or(const T *vector, int64_t column, int count, bool packed,
                                                              T otherwise) {
    Pack<T, kRowPack> pack;
    if (vector != nullptr) return std::bit_cast<Pack<T, kRowPack>>(load_row_pack(vector + column, count, packed).words);
    MEZZO_UNROLL
    for (int k = 0; k < kRowPack; ++k) pack.value[k] = otherwise;
    return pack;
}

template <class T>
__device__ __forceinline__ void store_row_pack(T *to, const Pack<T, kRowPack> &pack, int count, bool packed) {
    if (packed) {
        if constexpr (sizeof(pack) < kAccessBytes) {
            *reinterpret_cast<Pack<T, kRowPack> *>(to) = pack;
        } else {
            constexpr int kWidth = static_cast<int>(kAccessBytes / sizeof(T));
            using Accesses = std::array<Pack<T, kWidth>, kRowPack / kWidth>;
            const auto accesses = std::bit_cast<Accesses>(pack);
            MEZZO_UNROLL
            for (size_t i = 0; i < accesses.size(); ++i) {
                ptx::store_vector(reinterpret_cast<Pack<T, kWidth> *>(to) + i, accesses[i]);
            }
        }
        return;
    }
    MEZZO_UNROLL
    for (int k = 0; k < kRowPack; ++k) {
        if (k < count) to[k] = pack.value[k];
    }
}

/// Terms of an element in so many sums.
template <int kCount>
struct RowTerms {
    double value[kCount];
};

namespace row_detail {

/// What all lanes of the warp have, added in the CPU's tree.
__device__ __forceinline__ double sum_for_all_lanes(double sum) {
    MEZZO_UNROLL
    for (int width = kWarpSize / 2; width > 0; width /= 2) sum += __shfl_xor_sync(kFullMask, sum, width);
    return sum;
}

/// The packs of one input that a lane keeps.
template <class T>
struct Kept {
    const T *row;
    RawPack<T, kRowPack> pack[kRowPacks];
};

} // namespace row_detail

/// A row of inputs, shared by the kWarps warps, 1 or kRowWarps, of a team. All of its threads call everything together.
template <int kWarps, class... In>
class Row {
  public:
    /// `rows`: the row's first elements. `packed`: whether all vectors that take part are, see rows_are_packed().
    __device__ Row(int64_t width, bool packed, const In *...rows)
        : width_(width), packed_(packed), kept_{row_detail::Kept<In>{rows, {}}...} {}

    /// Calls body(column, count, pack of each input...) for the packs of the calling lane.
    template <class Body>
    __device__ __forceinline__ void each(const Body &body) {
        for (int64_t begin = first(); begin < width_; begin += kWarps * kRowSegment) each_of(begin, body);
    }

    /// Sums over the row for all threads: terms(column, count, pack of each input...) gives a function that gives
    /// RowTerms of the element k of a pack.
    template <int kCount, class Terms>
    __device__ __forceinline__ RowTerms<kCount> sum(const Terms &terms) {
        RowTerms<kCount> total{};
        for (int64_t begin = first(); begin < width_; begin += kWarps * kRowSegment) {
            double sums[kCount][kRowPack] = {};
            each_of(begin, [&](int64_t column, int count, const auto &...packs) {
                const auto term = terms(column, count, packs...);
                MEZZO_UNROLL
                for (int k = 0; k < kRowPack; ++k) {
                    if (k >= count) continue;
                    const RowTerms<kCount> of_element = term(k);
                    for (int n = 0; n < kCount; ++n) sums[n][k] += of_element.value[n];
                }
            });
            for (int n = 0; n < kCount; ++n) {
                const double lane = (sums[n][0] + sums[n][1]) + (sums[n][2] + sums[n][3]);
                total.value[n] += row_detail::sum_for_all_lanes(lane);
            }
        }
        if constexpr (kWarps > 1) add_warps(total);
        return total;
    }

    /// The element that wins over all others, for all threads: value(pack, k) gives the element k of a pack, and
    /// winner(a, b) the winner of two, whichever comes first. `lowest` wins over none.
    template <class A, class Value, class Winner>
    __device__ __forceinline__ A largest(A lowest, const Value &value, const Winner &winner) {
        A best = lowest;
        each([&](int64_t, int count, const auto &...packs) {
            MEZZO_UNROLL
            for (int k = 0; k < kRowPack; ++k) {
                if (k < count) best = winner(best, value(packs..., k));
            }
        });
        MEZZO_UNROLL
        for (int lane = kWarpSize / 2; lane > 0; lane /= 2) best = winner(best, __shfl_xor_sync(kFullMask, best, lane));
        if constexpr (kWarps > 1) {
            MEZZO_SHARED(A[kRowWarps], place);
            if (threadIdx.x % kWarpSize == 0) place[threadIdx.x / kWarpSize] = best;
            __syncthreads();
            best = winner(winner(place[0], place[1]), winner(place[2], place[3]));
            __syncthreads();
        }
        return best;
    }

  private:
    __device__ __forceinline__ static int64_t first() {
        return kWarps == 1 ? 0 : static_cast<int64_t>(threadIdx.x / kWarpSize) * kRowSegment;
    }

    /// The packs of the segment that begins there, which are read where they are not those kept.
    template <class Body>
    __device__ __forceinline__ void each_of(int64_t begin, const Body &body) {
        const int64_t place = begin + static_cast<int64_t>(threadIdx.x % kWarpSize) * kRowPack;
        const int left = static_cast<int>(width_ - place < kRowSegment ? width_ - place : kRowSegment);
        if (begin != kept_begin_) {
            each_pack(left, [&](int p, int offset, int count) {
                const auto load = [&](auto &...kept) {
                    ((kept.pack[p] = load_row_pack(kept.row + place + offset, count, packed_)), ...);
                };
                std::apply(load, kept_);
            });
            kept_begin_ = begin;
        }
        each_pack(left, [&](int p, int offset, int count) {
            std::apply([&](const auto &...kept) { body(place + offset, count, kept.pack[p]...); }, kept_);
        });
    }

    template <class Body>
    __device__ __forceinline__ static void each_pack(int left, const Body &body) {
        MEZZO_UNROLL
        for (int p = 0; p < kRowPacks; ++p) {
            const int offset = p * kWarpSize * kRowPack;
            if (offset < left) body(p, offset, left - offset < kRowPack ? left - offset : kRowPack);
        }
    }

    /// Adds what the warps of the block have.
    template <int kCount>
    __device__ __forceinline__ void add_warps(RowTerms<kCount> &total) {
        MEZZO_SHARED(double[kCount][kRowWarps], place);
        for (int n = 0; n < kCount; ++n) {
            if (threadIdx.x % kWarpSize == 0) place[n][threadIdx.x / kWarpSize] = total.value[n];
        }
        __syncthreads();
        for (int n = 0; n < kCount; ++n) total.value[n] = sum_of_warps(place[n]);
        __syncthreads(); // before the next sum
    }

    int64_t width_;
    bool packed_;
    std::tuple<row_detail::Kept<In>...> kept_;
    int64_t kept_begin_ = -1;
};

/// Calls body(row) for each row of the calling team.
template <int kWarps, class Body>
__device__ __forceinline__ void each_row(int64_t rows, const Body &body) {
    constexpr int kTeams = kRowWarps / kWarps;
    const int team = kWarps == 1 ? static_cast<int>(threadIdx.x) / kWarpSize : 0;
    const int64_t step = static_cast<int64_t>(gridDim.x) * kTeams;
    for (int64_t row = static_cast<int64_t>(blockIdx.x) * kTeams + team; row < rows; row += step) body(row);
}

/// Whether rows of this width can be read pack by pack in all of these tensors or vectors, which may be missing.
template <class... T>
bool rows_are_packed(int64_t width, const T *...first) {
    return width % kRowPack == 0 && ((reinterpret_cast<uintptr_t>(first) % alignof(Pack<T, kRowPack>) == 0) && ...);
}

/// Calls launch(std::integral_constant<int, kWarps>, grid) with the team for rows of this width.
template <class Launch>
void launch_rows(Device &device, int64_t rows, int64_t width, const Launch &launch) {
    const bool is_narrow = width <= kRowSegment;
    const int64_t blocks = is_narrow ? divide_up(rows, kRowWarps) : rows;
    const int64_t most = int64_t{kRowGrid} * cuda_device(device).machine().processors;
    const dim3 grid(static_cast<unsigned int>(std::min(blocks, most)));
    if (is_narrow) {
        launch(std::integral_constant<int, 1>{}, grid);
    } else {
        launch(std::integral_constant<int, kRowWarps>{}, grid);
    }
}

} // namespace mezzo
