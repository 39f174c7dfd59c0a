// SPDX-License-Identifier: MIT
// The launch of a kernel of tiles: its arguments, scratch memory for partial sums, and the kernels that add them.
#include "cuda/matmul_tile.h"

#include "core/arithmetic.h"
#include "cuda/matmul_reduce.h"
#include "device/launch.cuh"

#include <algorithm>
#include <limits>

namespace mezzo {
namespace {

/// The largest number of bytes, at most 16, that is a power of two and divides `bytes`.
int64_t alignment_of(int64_t bytes) {
    constexpr int64_t kLargest = 16;
    return std::min(kLargest, (bytes | kLargest) & -(bytes | kLargest));
}

int64_t alignment_of(const std::byte *pointer) {
    return alignment_of(static_cast<int64_t>(reinterpret_cast<uintptr_t>(pointer)));
}

/// Elements that an access may take: `bytes` is the alignment of every row, `row` the elements in one.
int vector_of(int64_t bytes, int64_t row, int64_t element) {
    for (const int vector : {4, 2}) {
        if (row % vector == 0 && bytes % std::min<int64_t>(16, vector * element) == 0) return vector;
    }
    return 1;
}

/// Bytes that the rows of a matrix are aligned to.
int64_t rows_alignment(const std::byte *data, int64_t row, int64_t batch_stride, int64_t element) {
    return std::min({alignment_of(data), alignment_of(row * element), alignment_of(batch_stride * element)});
}

} // namespace

SplitK split_k(int64_t k, int64_t splits, int64_t tile_k) {
    const int64_t k_each = divide_up(divide_up(k, splits), tile_k) * tile_k;
    return {divide_up(k, k_each), k_each};
}

int matmul_alignment(const MatmulProblem &p) {
    const int64_t element = dtype_size(p.dtype);
    return static_cast<int>(std::min(rows_alignment(p.a, p.a_transposed ? p.m : p.k, p.a_batch_stride, element),
                                     rows_alignment(p.b, p.b_transposed ? p.k : p.n, p.b_batch_stride, element)));
}

int64_t matmul_row(const MatmulProblem &p) {
    return std::max(p.a_transposed ? p.m : p.k, p.b_transposed ? p.k : p.n) * dtype_size(p.dtype);
}

EpilogueTensor epilogue_tensor(const TensorData &tensor, mezzo_dtype dtype, int64_t row, int64_t batch_stride) {
    if (!tensor) return {};
    const int64_t element = dtype_size(tensor.dtype);
    return {tensor.data, tensor.dtype != dtype,
            vector_of(rows_alignment(tensor.data, row, batch_stride, element), row, element)};
}

MatmulArguments tile_arguments(const MatmulProblem &p, int splits, const TileShape &shape) {
    const int64_t element = dtype_size(p.dtype);
    const int64_t a_row = p.a_transposed ? p.m : p.k;
    const int64_t b_row = p.b_transposed ? p.k : p.n;
    const SplitK parts = split_k(p.k, splits, shape.k);
    const int64_t mask_stride = p.m * p.n;
    return {.m = p.m,
            .n = p.n,
            .k = p.k,
            .a = p.a,
            .b = p.b,
            .a_transposed = p.a_transposed,
            .b_transposed = p.b_transposed,
            .a_vector = vector_of(rows_alignment(p.a, a_row, p.a_batch_stride, element), a_row, element),
            .b_vector = vector_of(rows_alignment(p.b, b_row, p.b_batch_stride, element), b_row, element),
            .a_batch_stride = p.a_batch_stride,
            .b_batch_stride = p.b_batch_stride,
            .tiles_m = divide_up(p.m, shape.m),
            .tiles_n = divide_up(p.n, shape.n),
            .splits = parts.count,
            .k_per_split = parts.k_each,
            .few_rows = shape.few_rows,
            .epilogue = {.m = p.m,
                         .n = p.n,
                         .out = epilogue_tensor(p.out, p.dtype, p.n, p.out_batch_stride),
                         .bias = epilogue_tensor(p.epilogue.bias, p.dtype, p.n, 0),
                         .mask = epilogue_tensor(p.epilogue.mask, p.dtype, p.n, mask_stride),
                         .out_batch_stride = p.out_batch_stride,
                         .mask_batch_stride = mask_stride,
                         .relu = p.epilogue.relu,
                         .add = p.epilogue.add,
                         .found_inf = p.epilogue.found_inf}};
}

void launch_tiles(CudaDevice &device, const MatmulProblem &problem, int splits, const TileShape &shape,
                  void (*kernel)(MatmulArguments)) {
    const MatmulEpilogue &epilogue = problem.epilogue;
    MatmulArguments arguments = tile_arguments(problem, splits, shape);
    const mezzo_dtype sum = problem.dtype == MEZZO_DTYPE_F64 ? MEZZO_DTYPE_F64 : MEZZO_DTYPE_F32;
    const int64_t blocks = arguments.tiles_m * arguments.tiles_n * arguments.splits * problem.batch;
    if (blocks > std::numeric_limits<int32_t>::max()) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "a product of %lld x %lld x %lld takes more than 2^31 - 1 blocks",
             static_cast<long long>(problem.m), static_cast<long long>(problem.n), static_cast<long long>(problem.k));
    }
    const auto run = [&] {
        launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(shape.threads)),
               static_cast<size_t>(shape.shared_bytes), device.stream(), arguments);
    };

    const bool sums_in_tiles = epilogue.column_sum && arguments.splits == 1 && shape.column_sums;
    if (arguments.splits > 1) {
        const EpilogueArguments finish = arguments.epilogue;
        const int64_t outputs = problem.batch * problem.m * problem.n;
        const Scratch<std::byte> partials(device.memory(), arguments.splits * outputs * dtype_size(sum));
        arguments.epilogue = {.m = problem.m,
                              .n = problem.n,
                              .out = epilogue_tensor({partials.data(), sum, 0}, problem.dtype, problem.n, 0),
                              .out_batch_stride = problem.m * problem.n,
                              .out_split_stride = outputs};
        run();
        sum_parts(device, {problem.dtype, partials.data(), arguments.splits, problem.batch}, finish);
    } else if (sums_in_tiles) {
        const int64_t parts = problem.batch * arguments.tiles_m;
        const Scratch<std::byte> partials(device.memory(), parts * problem.n * dtype_size(sum));
        arguments.epilogue.column_partials = partials.data();
        run();
        sum_column_parts(device, problem.dtype, partials.data(), parts, problem.n, epilogue.column_sum);
    } else {
        run();
    }
    if (epilogue.column_sum && !sums_in_tiles) {
        pass_columns(device, {.dtype = problem.dtype,
                              .batch = problem.batch,
                              .rows = problem.m,
                              .columns = problem.n,
                              .from_batch_stride = problem.out_batch_stride,
                              .from = problem.out,
                              .column_sum = epilogue.column_sum});
    }
}

} // namespace mezzo
