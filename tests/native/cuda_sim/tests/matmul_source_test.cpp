// SPDX-License-Identifier: MIT
// Where the threads of a block read an operand: each copy's address, and that no copy begins outside of the matrix,
// also for matrices larger than memory, of which only addresses are looked at.
#include "cuda/matmul_block.cuh"

#include <gtest/gtest.h>

#include <array>

namespace mezzo::testing {
namespace {

/// A matrix that does not exist, the tile's place in it and where a block's k ends.
struct Place {
    int64_t outer, depth, first, k_begin, k_end;
};

template <class Tile, unsigned kThreads, unsigned kCopyBytes>
void check_source(const Place &place) {
    using Source = OperandSource<Tile, kThreads, kCopyBytes>;
    using Copies = typename Source::Copies;
    constexpr int64_t kElement = sizeof(typename Tile::Element);
    const auto *matrix = reinterpret_cast<const std::byte *>(uintptr_t{0x10000});
    const int64_t columns = Tile::kDepthContiguous ? place.depth : place.outer;
    const MatmulTile tile{
        .batch = 0, .split = 0, .tile_m = 0, .tile_n = 0, .k_begin = place.k_begin, .k_end = place.k_end};
    const Steps steps(tile, Tile::kDepth);
    for (threadIdx.x = 0; threadIdx.x < kThreads; ++threadIdx.x) {
        Source source(matrix, place.outer, place.depth, place.first, place.k_begin, 2);
        int64_t k = place.k_begin;
        for (int step = 0; step < steps.count; ++step) {
            const unsigned depth = step == 0 ? steps.first_depth : Tile::kDepth;
            const typename Source::Addresses addresses = source.addresses();
            for (unsigned copy = 0; copy < Copies::kCount; ++copy) {
                if (!Copies::exists(threadIdx.x, copy)) continue;
                const int64_t tile_row = Copies::row(threadIdx.x, copy);
                const int64_t tile_column = Copies::byte(threadIdx.x, copy) / kElement;
                const int64_t outer = place.first + (Tile::kDepthContiguous ? tile_row : tile_column);
                const int64_t at_depth = Tile::kDepthContiguous ? tile_column : tile_row;
                const bool expected = outer < place.outer && at_depth < depth;
                ASSERT_EQ(step == 0 ? source.has(copy, depth) : source.has(copy), expected)
                    << "thread " << threadIdx.x << " copy " << copy << " step " << step;
                if (!expected) continue;
                const int64_t row = Tile::kDepthContiguous ? outer : k + at_depth;
                const int64_t column = Tile::kDepthContiguous ? k + at_depth : outer;
                ASSERT_EQ(addresses.of(copy) - matrix, (row * columns + column) * kElement)
                    << "thread " << threadIdx.x << " copy " << copy << " step " << step;
                ASSERT_EQ(source.offset(copy), Copies::offset(threadIdx.x, copy));
            }
            k += depth;
            if (step == 0) {
                source.advance(depth);
            } else {
                source.advance();
            }
        }
        ASSERT_EQ(k, place.k_end);
    }
    threadIdx.x = 0;
}

template <class T, unsigned kOuter, unsigned kDepth, unsigned kThreads>
void check_sources(const Place &place) {
    using AcrossDepth = OperandTile<T, Contiguous::kDepth, kOuter, kDepth>;
    using AcrossOuter = OperandTile<T, Contiguous::kOuter, kOuter, kDepth>;
    check_source<AcrossDepth, kThreads, 4>(place);
    check_source<AcrossDepth, kThreads, 16>(place);
    check_source<AcrossOuter, kThreads, 4>(place);
    check_source<AcrossOuter, kThreads, 16>(place);
}

void check_tiles(const Place &place) {
    SCOPED_TRACE(::testing::Message() << place.outer << "x" << place.depth << " from " << place.first << ", k "
                                      << place.k_begin << " to " << place.k_end);
    check_sources<Half, 64, 64, 128>(place);
    check_sources<Half, 64, 32, 128>(place);
    check_sources<Half, 128, 32, 128>(place);
    check_sources<Half, 160, 32, 128>(place);
    check_sources<Half, 256, 32, 256>(place);
    check_sources<float, 128, 16, 128>(place);
    check_sources<float, 160, 16, 128>(place);
    check_sources<float, 64, 32, 128>(place);
}

TEST(MatmulSource, Copies_ReadTheirElementsAndNoneOutside) {
    for (const Place &place : std::array<Place, 6>{{{150, 150, 0, 0, 150},
                                                    {20000, 150, 19968, 0, 150},
                                                    {150, 20000, 0, 640, 1000},
                                                    {1, 1, 0, 0, 1},
                                                    {640, 128, 0, 0, 128},
                                                    {637, 200, 480, 128, 200}}}) {
        check_tiles(place);
    }
}

TEST(MatmulSource, Copies_ReadFarIntoLargeMatrices) {
    constexpr int64_t kMillion = 1'000'000;
    check_tiles({8000 * kMillion / 16, 150, 490 * kMillion, 0, 150}); // 2^31 elements are far behind
    check_tiles({150, 900 * kMillion, 0, 899'999'936, 900 * kMillion});
    check_tiles({1000 * kMillion, 1000 * kMillion, 999'999'936, 999'999'936, 1000 * kMillion}); // rows of up to 4 GB
}

} // namespace
} // namespace mezzo::testing
