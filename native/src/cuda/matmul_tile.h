// SPDX-License-Identifier: MIT
// What all kernels of tiles have in common: the arguments that they are launched with, the tile and the part of k
// that a block works on, and the launch. Plain data, tested without a GPU.
#pragma once

#include "core/host_device.h"
#include "cuda/matmul.h"

namespace mezzo {

/// A tensor of the epilogue. Its elements are of the product's dtype or, when `wide`, f32 beside halves.
struct EpilogueTensor {
    std::byte *data = nullptr;
    bool wide = false;
    int vector = 1; // elements that an access may take, from a column that is a multiple of 4: 4, 2 or 1

    MEZZO_HOST_DEVICE explicit operator bool() const { return data != nullptr; }
};

/// The epilogue as kernels see it: that of the problem or, when k is split, nothing but where partial sums go.
struct EpilogueArguments {
    int64_t m = 0, n = 0;
    EpilogueTensor out = {}; // [m, n] of the first member and split
    EpilogueTensor bias = {};
    EpilogueTensor mask = {};
    int64_t out_batch_stride = 0; // elements
    int64_t out_split_stride = 0;
    int64_t mask_batch_stride = 0;
    bool relu = false;
    float add = 0;
    float *found_inf = nullptr;
    std::byte *column_partials =
        nullptr; // [batch, tiles_m, n] sums of the tiles' columns in the accumulator's dtype, or null
};

/// What a kernel of tiles is launched with: its one parameter.
struct MatmulArguments {
    int64_t m, n, k;
    const std::byte *a;
    const std::byte *b;
    bool a_transposed, b_transposed;
    int a_vector, b_vector;                 // elements that an access may take along a row: 4, 2 or 1
    int64_t a_batch_stride, b_batch_stride; // elements
    int64_t tiles_m, tiles_n;
    int64_t splits;
    int64_t k_per_split; // a multiple of tile_k; no part is empty
    bool few_rows;       // as in TileShape
    EpilogueArguments epilogue;
};

/// What one block computes. `first_row` and `first_column` may be followed by fewer than a tile's.
struct MatmulTile {
    int32_t batch, split; // 32 bits, since kernels keep these in registers beside their sums
    int32_t tile_m, tile_n;
    int64_t k_begin, k_end;
};

/// Tile rows that a group of blocks works on together, so that a wave reads few different panels of a and b.
inline constexpr uint32_t kTileGroup = 8;

/// The tile of block `index`. The order is: tiles in groups of kTileGroup rows, column by column; parts of k; batch.
/// launch_tiles() has seen to it that blocks can be counted in 31 bits, whose divisions are the shorter.
MEZZO_HOST_DEVICE MatmulTile tile_of_block(const MatmulArguments &arguments, uint32_t index) {
    const auto tiles_m = static_cast<uint32_t>(arguments.tiles_m);
    const auto tiles_n = static_cast<uint32_t>(arguments.tiles_n);
    const auto splits = static_cast<uint32_t>(arguments.splits);
    const uint32_t part = index / (tiles_m * tiles_n);
    const uint32_t tile = index % (tiles_m * tiles_n);
    const uint32_t group_tiles = (tiles_m < kTileGroup ? tiles_m : kTileGroup) * tiles_n;
    const uint32_t group = tile / group_tiles;
    const uint32_t in_group = tile % group_tiles;
    const uint32_t rows_left = tiles_m - group * kTileGroup;
    const uint32_t group_rows = rows_left < kTileGroup ? rows_left : kTileGroup;
    const uint32_t split = part % splits;
    const int64_t k_begin = split * arguments.k_per_split;
    const int64_t k_left = arguments.k - k_begin;
    return {.batch = static_cast<int32_t>(part / splits),
            .split = static_cast<int32_t>(split),
            .tile_m = static_cast<int32_t>(group * kTileGroup + in_group % group_rows),
            .tile_n = static_cast<int32_t>(in_group / group_rows),
            .k_begin = k_begin,
            .k_end = k_begin + (k_left < arguments.k_per_split ? k_left : arguments.k_per_split)};
}

/// Parts that k falls into, each of whole tiles and none of them empty, so at most as many as were asked for. Pure.
struct SplitK {
    int64_t count;
    int64_t k_each;
};
SplitK split_k(int64_t k, int64_t splits, int64_t tile_k);

/// The block of a kernel of tiles.
struct TileShape {
    int m, n, k;
    int threads;
    int64_t shared_bytes;
    bool column_sums = true; // whether the kernel's epilogue writes column_partials; else a pass over out adds them
    bool few_rows = false;   // for kernels that take a matrix of few rows or of few columns: rows
};

/// A kernel's name, put together at compile time.
class KernelName {
  public:
    constexpr KernelName() = default;

    constexpr KernelName operator+(const char *text) const {
        KernelName sum = *this;
        for (; *text != 0; ++text) sum.text_[sum.size_++] = *text;
        return sum;
    }
    constexpr KernelName operator+(int number) const {
        const KernelName front = number < 10 ? *this : *this + number / 10;
        const char digit[] = {static_cast<char>('0' + number % 10), 0};
        return front + digit;
    }
    constexpr KernelName operator+(mezzo_dtype dtype) const {
        return *this + (dtype == MEZZO_DTYPE_F64   ? "f64"
                        : dtype == MEZZO_DTYPE_F32 ? "f32"
                        : dtype == MEZZO_DTYPE_F16 ? "f16"
                                                   : "bf16");
    }

    constexpr const char *text() const { return text_; }

  private:
    char text_[64] = {};
    int size_ = 0;
};

/// Launches `kernel`, one block for each tile, and what has to follow it: the sum of the parts of k, the sums of
/// columns. Meant for MatmulKernel::launch.
void launch_tiles(CudaDevice &device, const MatmulProblem &problem, int splits, const TileShape &shape,
                  void (*kernel)(MatmulArguments));

/// A tensor as an epilogue of products of `dtype` sees it: rows of `row` elements, members `batch_stride` apart. Pure.
EpilogueTensor epilogue_tensor(const TensorData &tensor, mezzo_dtype dtype, int64_t row, int64_t batch_stride);

/// The arguments of a launch, but for scratch memory: out and column_partials as if k were not split. Pure.
MatmulArguments tile_arguments(const MatmulProblem &problem, int splits, const TileShape &shape);

} // namespace mezzo
