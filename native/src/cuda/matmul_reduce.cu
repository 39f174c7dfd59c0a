// SPDX-License-Identifier: MIT
// Sums around matrix products.
//
//   sum of parts   out = epilogue(sum over p of partials[p, batch, m, n])
//   column pass    x = mask <= 0 ? 0 : from, rounded;  to = x;  column_sum[j] = sum over batch and rows of x[i, j]
//
// Accumulated in f32, f64 for f64. Deterministic: a thread adds its parts or rows in order, threads are added in order
// (parts) or in a tree (rows), and what each thread takes follows from shape and machine alone.
// Reads and writes each element once: sizeof(accumulator) parts + sizeof(out) bytes an element of a product, 1 to 3
// elements for each of the matrix.
#include "cuda/matmul_reduce.h"

#include "core/arithmetic.h"
#include "cuda/matmul_epilogue.cuh"
#include "device/launch.cuh"

#include <algorithm>

namespace mezzo {
namespace {

constexpr int kThreads = 256;
constexpr int kAtOnce = 4; // loads of a thread before the first is used, to have more bytes in flight

dim3 grid_of(int64_t blocks) {
    return {static_cast<unsigned>(blocks), 1, 1};
}

// ---- sum of parts -------------------------------------------------------------------------------------------------

/// A block takes kThreads / lanes quads; lane l of a quad adds parts l, l + lanes, ...
template <class T>
__global__ void __launch_bounds__(kThreads) sum_parts_kernel(EpilogueArguments epilogue, const Arithmetic<T> *partials,
                                                             int64_t parts, int64_t batch, int lanes, int vector) {
    using Sum = Arithmetic<T>;
    using Shared = Sum[kThreads][kQuad];
    MEZZO_SHARED(Shared, shared);
    const int thread = static_cast<int>(threadIdx.x);
    const int block_quads = kThreads / lanes;
    const int lane = thread / block_quads;

    const int64_t row_quads = (epilogue.n + kQuad - 1) / kQuad;
    const int64_t rows = batch * epilogue.m;
    const int64_t quad = int64_t{blockIdx.x} * block_quads + thread % block_quads;
    const int64_t row = quad / row_quads;
    const int64_t column = quad % row_quads * kQuad;
    const int64_t left = row < rows ? epilogue.n - column : 0;
    const int count = static_cast<int>(left < kQuad ? left : kQuad);

    Sum sum[kQuad] = {};
    if (count > 0) {
        const Sum *from = partials + row * epilogue.n + column;
        for (int64_t part = lane; part < parts; part += kAtOnce * lanes) {
            Sum x[kAtOnce][kQuad];
            MEZZO_UNROLL
            for (int p = 0; p < kAtOnce; ++p) {
                const int64_t here = part + p * lanes;
                load_quad(x[p], from + here * rows * epilogue.n, here < parts ? count : 0, vector);
            }
            MEZZO_UNROLL
            for (int p = 0; p < kAtOnce; ++p) {
                MEZZO_UNROLL
                for (int i = 0; i < kQuad; ++i) sum[i] += x[p][i]; // 0 after the last part
            }
        }
    }
    if (lanes > 1) {
        MEZZO_UNROLL
        for (int i = 0; i < kQuad; ++i) shared[thread][i] = sum[i];
        __syncthreads();
        for (int other = 1; lane == 0 && other < lanes; ++other) {
            MEZZO_UNROLL
            for (int i = 0; i < kQuad; ++i) sum[i] += shared[other * block_quads + thread][i];
        }
    }
    const int64_t member = row / epilogue.m;
    EpilogueThread<T> finish(epilogue, member, 0);
    if (lane == 0 && count > 0) finish.quad(row - member * epilogue.m, column, sum);
    finish.vote();
}

/// Lanes for each quad: more where there are few quads and many parts to keep a machine busy with.
int lanes_for(int64_t quads, int64_t parts, const CudaMachine &machine) {
    constexpr int64_t kThreadsWanted = 512; // on a multiprocessor
    constexpr int kMostLanes = 32;
    int lanes = 1;
    while (lanes < kMostLanes && parts >= 4 * lanes && quads * lanes < machine.processors * kThreadsWanted) lanes *= 2;
    return lanes;
}

// ---- column pass --------------------------------------------------------------------------------------------------

struct ColumnArguments {
    int64_t rows, columns;
    int64_t strips; // of `quads` quads, that a row falls into
    int64_t chunks; // of chunk_rows rows, that a member falls into
    int64_t chunk_rows;
    int quads; // a power of two
    int64_t from_batch_stride;
    EpilogueTensor from;
    EpilogueTensor mask;
    EpilogueTensor to;
    bool round;
    std::byte *partials = nullptr;    // [batch, chunks, columns] accumulators, or null
    EpilogueArguments whole_sum = {}; // used instead when there is one chunk
};

/// A block takes one strip of one chunk of one member; its threads take every so many rows of it.
template <class T>
__global__ void __launch_bounds__(kThreads) column_pass_kernel(ColumnArguments a) {
    using Sum = Arithmetic<T>;
    using Shared = Sum[kThreads][kQuad];
    MEZZO_SHARED(Shared, shared);
    const int thread = static_cast<int>(threadIdx.x);
    const int thread_rows = kThreads / a.quads;
    const int thread_row = thread / a.quads;
    const int64_t strip = int64_t{blockIdx.x} % a.strips;
    const int64_t part = int64_t{blockIdx.x} / a.strips; // chunk of a member
    const int64_t member = part / a.chunks;
    const int64_t column = (strip * a.quads + thread % a.quads) * kQuad;
    const int64_t left = a.columns - column;
    const int count = static_cast<int>(left < 0 ? 0 : left < kQuad ? left : kQuad);

    const int64_t begin = part % a.chunks * a.chunk_rows;
    const int64_t end = begin + a.chunk_rows < a.rows ? begin + a.chunk_rows : a.rows;
    const int64_t from_member = member * a.from_batch_stride + column;
    const int64_t dense_member = member * a.rows * a.columns + column;
    Sum sum[kQuad] = {};
    for (int64_t first = begin + thread_row; first < end && count > 0; first += kAtOnce * thread_rows) {
        Sum x[kAtOnce][kQuad];
        Sum mask[kAtOnce][kQuad] = {};
        MEZZO_UNROLL
        for (int r = 0; r < kAtOnce; ++r) {
            const int64_t row = first + r * thread_rows;
            const int loaded = row < end ? count : 0;
            load_quad<T>(x[r], a.from, from_member + row * a.columns, loaded);
            if (a.mask) load_quad<T>(mask[r], a.mask, dense_member + row * a.columns, loaded);
        }
        MEZZO_UNROLL
        for (int r = 0; r < kAtOnce; ++r) {
            const int64_t row = first + r * thread_rows;
            if (row >= end) continue;
            MEZZO_UNROLL
            for (int i = 0; i < kQuad; ++i) {
                if (a.mask && mask[r][i] <= 0) x[r][i] = 0;
                if (is_half<T> && a.round) x[r][i] = epilogue_detail::through<T>(x[r][i]);
                sum[i] += x[r][i];
            }
            if (a.to) {
                store_quad(reinterpret_cast<T *>(a.to.data) + dense_member + row * a.columns, x[r], count, a.to.vector);
            }
        }
    }

    const bool whole = static_cast<bool>(a.whole_sum.out);
    if (a.partials == nullptr && !whole) return;
    MEZZO_UNROLL
    for (int i = 0; i < kQuad; ++i) shared[thread][i] = sum[i];
    for (int width = thread_rows / 2; width > 0; width /= 2) {
        __syncthreads();
        if (thread_row >= width) continue;
        MEZZO_UNROLL
        for (int i = 0; i < kQuad; ++i) shared[thread][i] += shared[thread + width * a.quads][i];
    }
    const bool stores = thread_row == 0 && count > 0;
    if (stores) {
        MEZZO_UNROLL
        for (int i = 0; i < kQuad; ++i) sum[i] = shared[thread][i];
    }
    if (whole) {
        EpilogueThread<T> finish(a.whole_sum, 0, 0);
        if (stores) finish.quad(0, column, sum);
        finish.vote();
    } else if (stores) {
        store_quad(reinterpret_cast<Sum *>(a.partials) + part * a.columns + column, sum, count, 1);
    }
}

/// Quads of a strip: the most that leave at most one in nine idle at the end of a row, or few.
int strip_quads(int64_t row_quads) {
    constexpr int kLargest = 32;
    constexpr int kSmallest = 8; // 64 bytes of a half
    int quads = kLargest;
    while (quads > kSmallest && divide_up(row_quads, quads) * quads * 8 > row_quads * 9) quads /= 2;
    while (quads > 1 && quads / 2 >= row_quads) quads /= 2;
    return quads;
}

/// Rows of a block: enough of them that its threads' sums are worth adding, and blocks for the whole machine.
int64_t chunk_rows(const ColumnPass &pass, int64_t strips, int quads, const CudaMachine &machine) {
    constexpr int64_t kRowsOfThread = 16;
    constexpr int64_t kBlocksWanted = 8; // on a multiprocessor
    const int64_t few = kRowsOfThread * kThreads / quads;
    const int64_t even = divide_up(pass.rows * pass.batch * strips, machine.processors * kBlocksWanted);
    return std::max(few, even);
}

EpilogueArguments sum_epilogue(mezzo_dtype dtype, int64_t columns, const ColumnSum &sum) {
    return {.m = 1,
            .n = columns,
            .out = epilogue_tensor(sum.out, dtype, columns, 0),
            .add = sum.accumulate ? 1.0f : 0.0f,
            .found_inf = sum.found_inf};
}

} // namespace

void sum_parts(CudaDevice &device, const PartialSums &partials, const EpilogueArguments &epilogue) {
    visit_floating_dtype(partials.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using Sum = Arithmetic<T>;
        const int64_t quads = partials.batch * epilogue.m * divide_up(epilogue.n, kQuad);
        const int lanes = lanes_for(quads, partials.parts, device.machine());
        const EpilogueTensor from =
            epilogue_tensor({const_cast<std::byte *>(partials.data), dtype_of<Sum>, 0}, dtype_of<Sum>, epilogue.n, 0);
        launch(sum_parts_kernel<T>, grid_of(divide_up(quads, kThreads / lanes)), dim3(kThreads), 0, device.stream(),
               epilogue, reinterpret_cast<const Sum *>(partials.data), partials.parts, partials.batch, lanes,
               from.vector);
    });
}

void sum_column_parts(CudaDevice &device, mezzo_dtype dtype, const std::byte *partials, int64_t parts, int64_t columns,
                      const ColumnSum &sum) {
    sum_parts(device, {dtype, partials, parts, 1}, sum_epilogue(dtype, columns, sum));
}

void pass_columns(CudaDevice &device, const ColumnPass &pass) {
    visit_floating_dtype(pass.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const int64_t dense_stride = pass.rows * pass.columns;
        const int64_t row_quads = divide_up(pass.columns, kQuad);
        const int quads = strip_quads(row_quads);
        const int64_t strips = divide_up(row_quads, quads);
        const int64_t rows = chunk_rows(pass, strips, quads, device.machine());
        const int64_t chunks = divide_up(pass.rows, rows);
        const int64_t parts = pass.batch * chunks;
        ColumnArguments arguments{.rows = pass.rows,
                                  .columns = pass.columns,
                                  .strips = strips,
                                  .chunks = chunks,
                                  .chunk_rows = rows,
                                  .quads = quads,
                                  .from_batch_stride = pass.from_batch_stride,
                                  .from = epilogue_tensor(pass.from, pass.dtype, pass.columns, pass.from_batch_stride),
                                  .mask = epilogue_tensor(pass.mask, pass.dtype, pass.columns, dense_stride),
                                  .to = epilogue_tensor(pass.to, pass.dtype, pass.columns, dense_stride),
                                  .round = pass.round};
        const auto run = [&] {
            launch(column_pass_kernel<T>, grid_of(parts * strips), dim3(kThreads), 0, device.stream(), arguments);
        };
        if (!pass.column_sum) {
            run();
        } else if (parts == 1) {
            arguments.whole_sum = sum_epilogue(pass.dtype, pass.columns, pass.column_sum);
            run();
        } else {
            const Scratch<Arithmetic<T>> partials(device.memory(), parts * pass.columns);
            arguments.partials = reinterpret_cast<std::byte *>(partials.data());
            run();
            sum_column_parts(device, pass.dtype, arguments.partials, parts, pass.columns, pass.column_sum);
        }
    });
}

} // namespace mezzo
