// SPDX-License-Identifier: MIT
// The elementwise part of the linear layer's backward.
#pragma once

#include "cpu/linear_team.h"

namespace mezzo::cpu {

/// Elements [first, first + count) of the gradient that enters the products, in the dtype `element`:
/// grad_output where output > 0 or is NaN, 0 elsewhere, rounded to the layer's dtype. Answers where they
/// are: in scratch, or in grad_output itself when there is nothing to do to it.
const std::byte *masked_gradient(const LinearBackward &layer, mezzo_dtype element, int64_t first, int64_t count,
                                 std::byte *scratch);

/// Sets the elements of a product, of `rows` and `columns`, to 0 where those of `input` are <= 0. The input is of the
/// layer's dtype, with `input_stride` elements from one row to the next.
void mask_by_input(const ProductTarget &product, int64_t rows, int64_t columns, const std::byte *input,
                   mezzo_dtype layer_dtype, int64_t input_stride);

/// Adds the sums of `columns` over rows of a gradient, row by row, to accumulators [columns].
void add_column_sums(std::byte *sums, const std::byte *gradient, mezzo_dtype element, int64_t stride, Range columns,
                     int64_t rows);

/// Partial results of a team's row parts: `parts` matrices of accumulators, `row_stride` elements between rows.
struct PartialsShape {
    mezzo_dtype accumulator;
    int64_t parts;
    int64_t rows;
    int64_t columns;
    int64_t row_stride;

    int64_t elements() const { return parts * rows * row_stride; }
};

/// Adds the parts up, in order, and stores the total or adds it to what is there.
void reduce_partials(const TensorData &to, const std::byte *partials, const PartialsShape &shape, bool accumulate);

} // namespace mezzo::cpu
