// SPDX-License-Identifier: MIT
// Sums over the columns of a matrix, two at a time, in an order that follows from the number of rows alone.
//
// Rows are cut into at most kColumnBlocks blocks. A column's terms are added in f64, those of a block one after the
// other, and the sums of the blocks to kColumnSums running sums in turn, which are added in a fixed tree.
//
// Error of a sum over n rows: below (max(16, n / 256) + n / (8 block) + 3) 2^-53 sum |term|.
#pragma once

#include "core/arithmetic.h"
#include "core/host_device.h"
#include "core/memory.h"
#include "core/parallel.h"

#include <algorithm>

namespace mezzo {

inline constexpr int64_t kColumnBlocks = 256; // at most
inline constexpr int kColumnSums = 8;

/// Two terms, or two sums, of a column.
struct ColumnPair {
    double first;
    double second;
};

/// How a matrix is cut.
struct ColumnShape {
    int64_t rows;
    int64_t columns;
    int64_t block_rows;

    ColumnShape(int64_t row_count, int64_t column_count)
        : rows(row_count),
          columns(column_count),
          block_rows(std::max<int64_t>(16, divide_up(row_count, kColumnBlocks))) {}

    MEZZO_HOST_DEVICE int64_t blocks() const { return (rows + block_rows - 1) / block_rows; }
    MEZZO_HOST_DEVICE int64_t begin(int64_t block) const { return block * block_rows; }
    MEZZO_HOST_DEVICE int64_t end(int64_t block) const {
        return begin(block) + block_rows < rows ? begin(block) + block_rows : rows;
    }

    /// Numbers that the sums of the blocks are: [blocks, 2, columns].
    int64_t room() const { return blocks() * 2 * columns; }
    /// Where the first sums of a block begin; the second ones follow them.
    MEZZO_HOST_DEVICE double *sums(double *room, int64_t block) const { return room + block * 2 * columns; }
};

/// The sum of a column, from what its blocks have added to kColumnSums running sums, `stride` apart.
MEZZO_HOST_DEVICE double sum_of_column(const double *sums, int stride = 1) {
    return ((sums[0] + sums[stride]) + (sums[2 * stride] + sums[3 * stride])) +
           ((sums[4 * stride] + sums[5 * stride]) + (sums[6 * stride] + sums[7 * stride]));
}

/// Adds the sums of the blocks, and calls finish(column, ColumnPair), an MEZZO_ALWAYS_INLINE function.
template <class Finish>
void finish_columns(const ColumnShape &shape, const double *room, const Finish &finish) {
    const int64_t blocks = shape.blocks();
    const int64_t columns = shape.columns;
    parallel_for(columns, divide_up(kElementGrain, 2 * blocks), [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        for (int64_t column = begin; column < end; ++column) {
            double first[kColumnSums] = {};
            double second[kColumnSums] = {};
            const double *sums = room + column;
            for (int64_t block = 0; block < blocks; ++block, sums += 2 * columns) {
                first[block % kColumnSums] += sums[0];
                second[block % kColumnSums] += sums[columns];
            }
            finish(column, ColumnPair{sum_of_column(first), sum_of_column(second)});
        }
    });
}

} // namespace mezzo
