// SPDX-License-Identifier: MIT
// The epilogue of tensor-core tiles. Their fragments are pairs of two rows, so they go through shared memory, some rows
// of the tile at a time, and come back as quads that lie side by side: a warp then reads and writes whole lines.
//
//     TileEpilogue<T, kThreads, kTileN> epilogue(arguments, tile, kTileM, staging);
//     for (int first = 0; first < kTileM; first += kRows) {
//         __syncthreads();  // the pipeline, or the rows before, are done with shared memory
//         ... staging[(i - first) * TileEpilogue<...>::kStride + j] = accumulator (i, j)
//         __syncthreads();
//         epilogue.store<kRows>(first);
//     }
//     epilogue.finish();
//
// Products of a few steps of k are as short as their epilogue, so it is written for few instructions: a thread stays in
// the columns of its quad, where bounds, bias and the width of accesses are settled once, and takes four rows at a
// time, so that their loads and stores overlap. Formulas, order and rounding are those of EpilogueThread::quad().
#pragma once

#include "cuda/matmul_epilogue.cuh"

namespace mezzo {

/// Four adjacent elements as they lie in memory.
template <class E>
struct RawQuad {
    uint32_t words[sizeof(E)] = {};

    /// Reads and writes elements [i, i + N), which lie at `at`, by one access.
    template <int N>
    __device__ __forceinline__ void load(const E *at, int i) {
        uint32_t *const to = words + i * static_cast<int>(sizeof(E)) / 4;
        if constexpr (N * sizeof(E) == 16) {
            const uint4 bits = *reinterpret_cast<const uint4 *>(at);
            to[0] = bits.x, to[1] = bits.y, to[2] = bits.z, to[3] = bits.w;
        } else if constexpr (N * sizeof(E) == 8) {
            const uint2 bits = *reinterpret_cast<const uint2 *>(at);
            to[0] = bits.x, to[1] = bits.y;
        } else if constexpr (N * sizeof(E) == 4) {
            to[0] = *reinterpret_cast<const uint32_t *>(at);
        } else {
            to[0] |= static_cast<uint32_t>(*reinterpret_cast<const uint16_t *>(at)) << (16 * (i % 2));
        }
    }

    template <int N>
    __device__ __forceinline__ void store(E *at, int i) const {
        const uint32_t *const from = words + i * static_cast<int>(sizeof(E)) / 4;
        if constexpr (N * sizeof(E) == 16) {
            ptx::store_vector(reinterpret_cast<uint4 *>(at), uint4{from[0], from[1], from[2], from[3]});
        } else if constexpr (N * sizeof(E) == 8) {
            *reinterpret_cast<uint64_t *>(at) = from[0] | static_cast<uint64_t>(from[1]) << 32;
        } else if constexpr (N * sizeof(E) == 4) {
            *reinterpret_cast<uint32_t *>(at) = from[0];
        } else {
            *reinterpret_cast<uint16_t *>(at) = static_cast<uint16_t>(from[0] >> (16 * (i % 2)));
        }
    }

    __device__ __forceinline__ float widened(int i) const {
        if constexpr (is_half<E>) {
            return ptx::to_float(E{static_cast<uint16_t>(words[i / 2] >> (16 * (i % 2)))});
        } else {
            return __uint_as_float(words[i]);
        }
    }

    __device__ __forceinline__ static RawQuad rounded(const float (&x)[kQuad]) {
        RawQuad quad;
        if constexpr (is_half<E>) {
            quad.words[0] = ptx::pack<E>(x[0], x[1]);
            quad.words[1] = ptx::pack<E>(x[2], x[3]);
        } else {
#pragma unroll
            for (int i = 0; i < kQuad; ++i) quad.words[i] = __float_as_uint(x[i]);
        }
        return quad;
    }
};

template <class T, int kThreads, int kColumns>
class TileEpilogue {
    static constexpr int kQuads = kColumns / kQuad; // of a row
    static constexpr int kRowsAtOnce = kThreads / kQuads;
    static_assert(kColumns % kQuad == 0 && kRowsAtOnce > 0);

  public:
    using Sum = float;
    static_assert(std::is_same_v<Sum, Arithmetic<T>>);

    /// Elements from one staged row to the next. Writing m16n8 fragments as pairs, and reading quads, meets no bank
    /// twice.
    static constexpr int kStride = kColumns + 8;
    static constexpr int kSumRows = kRowsAtOnce;

    /// Shared memory for `rows` staged rows; finish() needs kSumRows of them.
    static constexpr int64_t bytes(int rows) { return int64_t{rows} * kStride * static_cast<int64_t>(sizeof(Sum)); }

    /// `staging`: shared memory, aligned to 16 bytes.
    __device__ __forceinline__ TileEpilogue(const MatmulArguments &arguments, const MatmulTile &tile, int tile_rows,
                                            Sum *staging)
        : arguments_(arguments), epilogue_(arguments.epilogue), tile_(tile), staging_(staging) {
        const int64_t first_row = int64_t{tile.tile_m} * tile_rows;
        const int64_t column = int64_t{tile.tile_n} * kColumns + quad_ * kQuad;
        rows_ = static_cast<int>(epilogue_.m - first_row < tile_rows ? epilogue_.m - first_row : tile_rows);
        // 0 for the threads that are left over where kQuads does not divide kThreads.
        const int64_t left = row_ < kRowsAtOnce ? epilogue_.n - column : 0;
        count_ = static_cast<int>(left < kQuad ? left : kQuad);
        first_ = (first_row + row_) * epilogue_.n + column;
        out_ = int64_t{tile.batch} * epilogue_.out_batch_stride + int64_t{tile.split} * epilogue_.out_split_stride;
        mask_ = int64_t{tile.batch} * epilogue_.mask_batch_stride;
        vector_ = epilogue_.out.vector;
        if (epilogue_.mask && epilogue_.mask.vector < vector_) vector_ = epilogue_.mask.vector;
        if (epilogue_.bias && count_ > 0) {
            load_quad<T>(bias_, epilogue_.bias, column, count_);
        }
    }

    /// Finishes and stores rows [first, first + kRows) of the tile, the first of which is staging's first.
    template <int kRows>
    __device__ __forceinline__ void store(int first) {
        const int end = rows_ - first < kRows ? rows_ - first : kRows;
        if (count_ <= 0 || row_ >= end) return;
        if (vector_ == 4) {
            store_rows<kRows, 4, 4>(first, end);
        } else if (vector_ == 2) {
            store_rows<kRows, 2, 4>(first, end);
        } else {
            store_rows<kRows, 1, 1>(first, end);
        }
    }

    /// After the last row: the vote on Inf and NaN and the sums of columns, for which staging is used once more.
    __device__ __forceinline__ void finish() {
        if (epilogue_.found_inf != nullptr) report_any(epilogue_.found_inf, not_finite_);
        if (epilogue_.column_partials == nullptr) return;
        __syncthreads();
        if (row_ < kRowsAtOnce) epilogue_detail::store_pack<kQuad>(staging_ + row_ * kColumns + quad_ * kQuad, sums_);
        __syncthreads();
        store_column_sums<Sum, kThreads, kRowsAtOnce, kColumns>(epilogue_, arguments_, tile_, staging_);
    }

  private:
    /// The same up to row `end`, by accesses of kVector elements and kUnroll rows at a time.
    template <int kRows, int kVector, int kUnroll>
    __device__ __forceinline__ void store_rows(int first, int end) {
        const Sum *from = staging_ + row_ * kStride + quad_ * kQuad;
        const int64_t step = kRowsAtOnce * epilogue_.n;
        int64_t element = first_ + first * epilogue_.n;
        for (int row = row_; row < end; row += kUnroll * kRowsAtOnce) {
            const int left = (end - row + kRowsAtOnce - 1) / kRowsAtOnce; // rows of this thread
            Sum x[kUnroll][kQuad];
#pragma unroll
            for (int u = 0; u < kUnroll; ++u) {
                // Past the matrix's end staging holds sums all the same, past its own it may not be.
                const bool staged = kRows % (kUnroll * kRowsAtOnce) == 0 || u < left;
                epilogue_detail::load_pack<kQuad>(x[u], from + (staged ? u : 0) * kRowsAtOnce * kStride);
            }
            finish<kVector>(x, left, element, step);
            from += kUnroll * kRowsAtOnce * kStride;
            element += kUnroll * step;
        }
    }

    /// Finishes and stores quads of `left` rows, `step` elements apart.
    template <int kVector, int kUnroll>
    __device__ __forceinline__ void finish(Sum (&x)[kUnroll][kQuad], int left, int64_t element, int64_t step) {
        const auto each = [&](auto &&change) {
#pragma unroll
            for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
                for (int i = 0; i < kQuad; ++i) change(x[u][i], u, i);
            }
        };
        if (epilogue_.bias) each([&](Sum &value, int, int i) { value += bias_[i]; });
        if (epilogue_.relu) each([](Sum &value, int, int) { value = value <= 0 ? Sum{0} : value; });
        if (epilogue_.mask) {
            with_quads<kVector, kUnroll>(epilogue_.mask, mask_ + element, left, step, [&](const auto &other) {
                each([&](Sum &value, int u, int i) { value = other[u].widened(i) <= 0 ? Sum{0} : value; });
            });
        }
        if (epilogue_.add != 0) {
            with_quads<kVector, kUnroll>(epilogue_.out, out_ + element, left, step, [&](const auto &other) {
                each([&](Sum &value, int u, int i) { value += epilogue_.add * other[u].widened(i); });
            });
        }
        if (is_half<T> && epilogue_.out.wide) {
            store_as<Sum, kVector>(x, left, out_ + element, step);
        } else {
            store_as<T, kVector>(x, left, out_ + element, step);
        }
    }

    /// Calls `use` with the quads of a tensor that belong to those of x.
    template <int kVector, int kUnroll, class Use>
    __device__ __forceinline__ void with_quads(const EpilogueTensor &from, int64_t element, int left, int64_t step,
                                               const Use &use) const {
        const auto load = [&]<class E>(TypeTag<E>) {
            const E *const at = reinterpret_cast<const E *>(from.data) + element;
            RawQuad<E> raw[kUnroll];
            each_part<kVector, kUnroll>(left,
                                        [&](int u, int i) { raw[u].template load<kVector>(at + u * step + i, i); });
            use(raw);
        };
        if (is_half<T> && from.wide) {
            load(TypeTag<Sum>{});
        } else {
            load(TypeTag<T>{});
        }
    }

    /// Rounds and stores x; then looks at what was stored.
    template <class E, int kVector, int kUnroll>
    __device__ __forceinline__ void store_as(const Sum (&x)[kUnroll][kQuad], int left, int64_t element, int64_t step) {
        RawQuad<E> raw[kUnroll];
#pragma unroll
        for (int u = 0; u < kUnroll; ++u) raw[u] = RawQuad<E>::rounded(x[u]);
        E *const at = reinterpret_cast<E *>(epilogue_.out.data) + element;
        each_part<kVector, kUnroll>(left, [&](int u, int i) { raw[u].template store<kVector>(at + u * step + i, i); });
        if (epilogue_.found_inf == nullptr && epilogue_.column_partials == nullptr) return;
#pragma unroll
        for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
            for (int i = 0; i < kQuad; ++i) {
                const Sum stored = u < left ? raw[u].widened(i) : Sum{0};
                not_finite_ |= i < count_ && !is_finite(stored);
                sums_[i] += stored;
            }
        }
    }

    /// Calls `access(u, i)` for the parts, of kVector elements each, of the quads that the matrix has.
    template <int kVector, int kUnroll, class Access>
    __device__ __forceinline__ void each_part(int left, const Access &access) const {
#pragma unroll
        for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
            for (int i = 0; i < kQuad; i += kVector) {
                if (u < left && i < count_) access(u, i);
            }
        }
    }

    const MatmulArguments &arguments_;
    const EpilogueArguments &epilogue_;
    const MatmulTile &tile_;
    Sum *staging_;
    const int row_ = static_cast<int>(threadIdx.x) / kQuads;
    const int quad_ = static_cast<int>(threadIdx.x) % kQuads;
    int rows_;      // of the tile that the matrix has
    int count_;     // of the quad's elements
    int64_t first_; // the quad's first element in the tile's first row of this thread
    int64_t out_;   // the member's first element
    int64_t mask_;
    int vector_; // elements that an access may take
    bool not_finite_ = false;
    Sum bias_[kQuad] = {};
    Sum sums_[kQuad] = {};
};

} // namespace mezzo
