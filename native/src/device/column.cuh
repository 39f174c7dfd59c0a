// SPDX-License-Identifier: MIT
// Sums over the columns of a matrix on CUDA, with the bits of the CPU's: ops/column.h says in which order.
//
// A warp takes 128 columns of a block of rows: a lane reads packs of four neighbours, 16 bytes of f32, of several rows
// at once. A second launch adds the sums of the blocks, which are 4096 bytes or less for each column.
#pragma once

#include "device/row.cuh"
#include "ops/column.h"

namespace mezzo {

inline constexpr int kColumnThreads = 128; // of a block of the first launch
inline constexpr int kColumnTile = kWarpSize * kRowPack;
inline constexpr int kFinishThreads = kWarpSize * kColumnSums;

/// What the calling lane has to do in the first launch: rows [begin, end) of `count` columns from `column` on.
struct ColumnTask {
    int64_t block;
    int64_t begin;
    int64_t end;
    int64_t column;
    int count; // 0 where there is nothing to do

    __device__ explicit ColumnTask(const ColumnShape &shape) {
        const int64_t tiles = (shape.columns + kColumnTile - 1) / kColumnTile;
        const int64_t warp = grid_thread() / kWarpSize;
        block = warp / tiles;
        begin = shape.begin(block);
        end = shape.end(block);
        column = warp % tiles * kColumnTile + static_cast<int64_t>(threadIdx.x % kWarpSize) * kRowPack;
        const int64_t left = block < shape.blocks() ? shape.columns - column : 0;
        count = static_cast<int>(left < 0 ? 0 : left < kRowPack ? left : kRowPack);
    }
};

/// Writes the sums of blocks: load(row) reads the pack of a row, and terms(loaded, k) is its ColumnPair in column
/// k of the task.
template <class Load, class Terms>
__device__ __forceinline__ void add_rows(const ColumnShape &shape, const ColumnTask &task, double *room, bool packed,
                                         const Load &load, const Terms &terms) {
    if (task.count == 0) return;
    Pack<double, kRowPack> first{};
    Pack<double, kRowPack> second{};
#pragma unroll 4
    for (int64_t row = task.begin; row < task.end; ++row) {
        const auto loaded = load(row);
        MEZZO_UNROLL
        for (int k = 0; k < kRowPack; ++k) {
            const ColumnPair pair = terms(loaded, k);
            first.value[k] += pair.first;
            second.value[k] += pair.second;
        }
    }
    double *sums = shape.sums(room, task.block) + task.column;
    store_row_pack(sums, first, task.count, packed);
    store_row_pack(sums + shape.columns, second, task.count, packed);
}

/// Adds the sums of the blocks and calls finish(column, ColumnPair) in one thread for each column.
template <class Finish>
__device__ __forceinline__ void add_blocks(const ColumnShape &shape, const double *room, const Finish &finish) {
    MEZZO_SHARED(double[2 * kColumnSums * kWarpSize], shared);
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    const int64_t column = static_cast<int64_t>(blockIdx.x) * kWarpSize + lane;
    double first = 0;
    double second = 0;
    if (column < shape.columns) {
#pragma unroll 4
        for (int64_t block = warp; block < shape.blocks(); block += kColumnSums) {
            const double *sums = room + block * 2 * shape.columns + column;
            first += sums[0];
            second += sums[shape.columns];
        }
    }
    double *places = shared + lane;
    places[warp * kWarpSize] = first;
    places[(kColumnSums + warp) * kWarpSize] = second;
    __syncthreads();
    if (warp != 0 || column >= shape.columns) return;
    finish(column,
           ColumnPair{sum_of_column(places, kWarpSize), sum_of_column(places + kColumnSums * kWarpSize, kWarpSize)});
}

/// Grids of the two launches.
inline dim3 column_grid(const ColumnShape &shape) {
    const int64_t warps = shape.blocks() * divide_up(shape.columns, kColumnTile);
    return dim3(static_cast<unsigned int>(divide_up(warps, kColumnThreads / kWarpSize)));
}
inline dim3 finish_grid(const ColumnShape &shape) {
    return dim3(static_cast<unsigned int>(divide_up(shape.columns, kWarpSize)));
}

} // namespace mezzo
