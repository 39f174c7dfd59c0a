// SPDX-License-Identifier: MIT
// Sums that follow or precede a matrix product: of partial products, and of the columns of a matrix.
#pragma once

#include "cuda/matmul_tile.h"

namespace mezzo {

/// Partial results, [parts, batch, m, n] accumulators of products of `dtype`, of which m and n are the epilogue's.
struct PartialSums {
    mezzo_dtype dtype;
    const std::byte *data;
    int64_t parts;
    int64_t batch;
};

/// Adds the parts in an order that their shape and the machine fix, and applies the epilogue.
void sum_parts(CudaDevice &device, const PartialSums &partials, const EpilogueArguments &epilogue);

/// Adds parts of sums of columns, [parts, columns], likewise.
void sum_column_parts(CudaDevice &device, mezzo_dtype dtype, const std::byte *partials, int64_t parts, int64_t columns,
                      const ColumnSum &sum);

/// One pass over [batch, rows, columns]: x = from, 0 where mask <= 0, rounded to dtype when `round`; then stored
/// and summed. Tensors are of `dtype`, or f32 beside a half.
struct ColumnPass {
    mezzo_dtype dtype;
    int64_t batch = 1;
    int64_t rows, columns;
    int64_t from_batch_stride = 0; // elements
    TensorData from;
    TensorData mask = {}; // [batch, rows, columns], or not given
    TensorData to = {};   // the same shape, of `dtype`, or not given; stored in rounded form, so round is set
    bool round = false;
    ColumnSum column_sum = {}; // over all rows and batches, in a fixed order, or not given
};

void pass_columns(CudaDevice &device, const ColumnPass &pass);

} // namespace mezzo
