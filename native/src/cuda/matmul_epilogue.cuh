// SPDX-License-Identifier: MIT
// What kernels of matrix products do with their accumulators: bias, ReLU, mask, scaled add, the check for Inf and
// NaN, the sums of columns, one rounding, the store. Shared by all kernels, whatever their fragments look like.
//
// The unit is a quad: four adjacent elements of a row, from a column that is a multiple of 4. A warp that takes
// adjacent quads reads and writes whole lines. Options are branches that all threads take alike: next to the loads and
// stores of a tile they cost nothing, and there is one kernel where there would be 64.
//
// Here is the form for threads that hold quads: EpilogueThread::quad() for each, then vote(), then store_column_sums().
// Tensor cores' fragments become quads by way of shared memory, in matmul_store.cuh.
//
// Split k: every part stores its raw sums, [splits, batch, m, n] accumulators, and a second kernel adds them in order
// and applies the epilogue. The alternative, that the last block to arrive at a tile adds them, saves a launch of about
// a microsecond. But there k is split because there are few tiles, so few blocks would read all the partial sums (for
// 150 x 150 x 20000 in bf16, 3.8 MB through 3 of 132 multiprocessors); and its counters would be memory that outlives a
// launch, to be zeroed before captures and after faults. The sums of columns are finished by a second kernel likewise.
//
// Accumulation: f32, f64 for f64. Deterministic: every sum has an order that depends on the shapes alone.
#pragma once

#include "core/convert.h"
#include "cuda/matmul_tile.h"
#include "device/kernel.cuh"
#include "device/ptx.cuh"

namespace mezzo {

inline constexpr int kQuad = 4;

namespace epilogue_detail {

/// N adjacent elements, moved by one access.
template <class T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Pack {
    T elements[N];
};

__device__ __forceinline__ float widen_element(float value) {
    return value;
}
__device__ __forceinline__ double widen_element(double value) {
    return value;
}
__device__ __forceinline__ float widen_element(Half value) {
    return ptx::to_float(value);
}
__device__ __forceinline__ float widen_element(BFloat16 value) {
    return ptx::to_float(value);
}

template <class T>
__device__ __forceinline__ T round_element(Arithmetic<T> value) {
    if constexpr (is_half<T>) {
        return ptx::from_float<T>(value);
    } else {
        return value;
    }
}

/// The value that T holds when it is stored there.
template <class T>
__device__ __forceinline__ Arithmetic<T> through(Arithmetic<T> value) {
    return widen_element(round_element<T>(value));
}

template <int N, class T>
__device__ __forceinline__ void load_pack(Arithmetic<T> *to, const T *from) {
    const auto pack = *reinterpret_cast<const Pack<T, N> *>(from);
    MEZZO_UNROLL
    for (int i = 0; i < N; ++i) to[i] = widen_element(pack.elements[i]);
}

template <int N, class T>
__device__ __forceinline__ void store_pack(T *to, const Arithmetic<T> *from) {
    Pack<T, N> pack;
    MEZZO_UNROLL
    for (int i = 0; i < N; ++i) pack.elements[i] = round_element<T>(from[i]);
    *reinterpret_cast<Pack<T, N> *>(to) = pack;
}

} // namespace epilogue_detail

/// Reads `count` elements of a quad, the rest of which becomes 0, at most `vector` of them at once. `count` is a
/// multiple of `vector` then.
template <class T>
__device__ __forceinline__ void load_quad(Arithmetic<T> (&to)[kQuad], const T *from, int count, int vector) {
    namespace detail = epilogue_detail;
    if (vector == 4 && count >= kQuad) {
        detail::load_pack<4>(to, from);
        return;
    }
    MEZZO_UNROLL
    for (int i = 0; i < kQuad; ++i) to[i] = 0;
    if (vector == 2) {
        if (count >= 2) detail::load_pack<2>(to, from);
        if (count >= 4) detail::load_pack<2>(to + 2, from + 2);
        return;
    }
    MEZZO_UNROLL
    for (int i = 0; i < kQuad; ++i) {
        if (i < count) detail::load_pack<1>(to + i, from + i);
    }
}

/// The same from a tensor of the epilogue, of T or wide.
template <class T>
__device__ __forceinline__ void load_quad(Arithmetic<T> (&to)[kQuad], const EpilogueTensor &from, int64_t element,
                                          int count) {
    if (is_half<T> && from.wide) {
        load_quad(to, reinterpret_cast<const Arithmetic<T> *>(from.data) + element, count, from.vector);
    } else {
        load_quad(to, reinterpret_cast<const T *>(from.data) + element, count, from.vector);
    }
}

/// Writes `count` elements of a quad likewise.
template <class T>
__device__ __forceinline__ void store_quad(T *to, const Arithmetic<T> (&from)[kQuad], int count, int vector) {
    namespace detail = epilogue_detail;
    if (vector == 4 && count >= kQuad) {
        detail::store_pack<4>(to, from);
    } else if (vector == 2) {
        if (count >= 2) detail::store_pack<2>(to, from);
        if (count >= 4) detail::store_pack<2>(to + 2, from + 2);
    } else {
        MEZZO_UNROLL
        for (int i = 0; i < kQuad; ++i) {
            if (i < count) detail::store_pack<1>(to + i, from + i);
        }
    }
}

/// The epilogue of one thread. T is the type of the product's elements.
template <class T>
class EpilogueThread {
  public:
    using Sum = Arithmetic<T>; // the accumulator's type

    __device__ __forceinline__ EpilogueThread(const EpilogueArguments &arguments, int64_t batch, int64_t split)
        : a_(arguments),
          out_(batch * arguments.out_batch_stride + split * arguments.out_split_stride),
          mask_(batch * arguments.mask_batch_stride) {}

    /// Finishes and stores (row, column) to (row, column + 3), as far as the matrix has them. Afterwards x holds what
    /// was stored, and 0 where nothing was.
    __device__ __forceinline__ void quad(int64_t row, int64_t column, Sum (&x)[kQuad]) {
        const int64_t left = row < a_.m ? a_.n - column : 0;
        const int count = left < kQuad ? static_cast<int>(left) : kQuad;
        if (count <= 0) {
            MEZZO_UNROLL
            for (int i = 0; i < kQuad; ++i) x[i] = 0;
            return;
        }
        Sum other[kQuad];
        if (a_.bias) {
            load_quad<T>(other, a_.bias, column, count);
            MEZZO_UNROLL
            for (int i = 0; i < kQuad; ++i) x[i] += other[i];
        }
        if (a_.relu) {
            MEZZO_UNROLL
            for (int i = 0; i < kQuad; ++i) x[i] = x[i] <= 0 ? Sum{0} : x[i];
        }
        const int64_t element = row * a_.n + column;
        if (a_.mask) {
            load_quad<T>(other, a_.mask, mask_ + element, count);
            MEZZO_UNROLL
            for (int i = 0; i < kQuad; ++i) x[i] = other[i] <= 0 ? Sum{0} : x[i];
        }
        if (a_.add != 0) {
            load_quad<T>(other, a_.out, out_ + element, count);
            MEZZO_UNROLL
            for (int i = 0; i < kQuad; ++i) x[i] += a_.add * other[i];
        }
        store(x, out_ + element, count);
        if (a_.found_inf != nullptr) {
            MEZZO_UNROLL
            for (int i = 0; i < kQuad; ++i) not_finite_ |= i < count && !is_finite(x[i]);
        }
        MEZZO_UNROLL
        for (int i = 0; i < kQuad; ++i) x[i] = i < count ? x[i] : Sum{0};
    }

    /// Reports Inf and NaN. All threads of a warp come here together, once, after their quads.
    __device__ __forceinline__ void vote() const {
        if (a_.found_inf != nullptr) report_any(a_.found_inf, not_finite_);
    }

  private:
    /// Rounds x too.
    __device__ __forceinline__ void store(Sum (&x)[kQuad], int64_t element, int count) const {
        if (is_half<T> && a_.out.wide) {
            store_quad(reinterpret_cast<Sum *>(a_.out.data) + element, x, count, a_.out.vector);
        } else {
            store_quad(reinterpret_cast<T *>(a_.out.data) + element, x, count, a_.out.vector);
            if constexpr (is_half<T>) {
                MEZZO_UNROLL
                for (int i = 0; i < kQuad; ++i) x[i] = epilogue_detail::through<T>(x[i]);
            }
        }
    }

    const EpilogueArguments &a_;
    int64_t out_;
    int64_t mask_;
    bool not_finite_ = false;
};

/// Adds up sums of columns that the threads of a block hold, `shared` [kRows][kColumns] of them in shared memory, in
/// the order of the rows, and writes them to the tile's place in column_partials.
template <class Sum, int kThreads, int kRows, int kColumns>
__device__ __forceinline__ void store_column_sums(const EpilogueArguments &arguments, const MatmulArguments &matmul,
                                                  const MatmulTile &tile, const Sum *shared) {
    Sum *to = reinterpret_cast<Sum *>(arguments.column_partials) +
              (int64_t{tile.batch} * matmul.tiles_m + tile.tile_m) * arguments.n + int64_t{tile.tile_n} * kColumns;
    const int64_t columns = arguments.n - int64_t{tile.tile_n} * kColumns;
    for (int column = static_cast<int>(threadIdx.x); column < kColumns && column < columns; column += kThreads) {
        Sum sum = shared[column];
        for (int row = 1; row < kRows; ++row) sum += shared[row * kColumns + column];
        to[column] = sum;
    }
}

} // namespace mezzo
