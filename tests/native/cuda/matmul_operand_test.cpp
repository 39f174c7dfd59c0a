// SPDX-License-Identifier: MIT
// How tiles lie in shared memory: every byte is copied once, every lane reads its own elements, and no access of a warp
// meets a bank twice. Shared memory has 32 banks of 4 bytes; a warp's access of 16 bytes a lane is made of four, of 8
// lanes each, and ldmatrix reads one matrix of 8 rows at a time.
// Source: CUDA C++ Programming Guide, "Shared Memory"; PTX ISA, "ldmatrix".
#include "cuda/matmul_operand.h"

#include "core/dtype.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

namespace mezzo::testing {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kBanks = 32;
constexpr unsigned kBankBytes = 4;

/// How many different words of one bank the lanes of one access ask for, at worst: 1 when there is no conflict.
unsigned conflicts(const std::vector<unsigned> &offsets, unsigned bytes) {
    std::map<unsigned, std::set<unsigned>> words; // by bank
    for (const unsigned offset : offsets) {
        for (unsigned at = offset; at < offset + bytes; at += kBankBytes) {
            words[at / kBankBytes % kBanks].insert(at / kBankBytes);
        }
    }
    size_t most = 0;
    for (const auto &[bank, asked] : words) most = std::max(most, asked.size());
    return static_cast<unsigned>(most);
}

/// What a kernel instantiates for an operand.
template <class T_, Contiguous kContiguous, unsigned kOuter, unsigned kDepth, unsigned kWarpOuter_, unsigned kThreads_>
struct Operand {
    using T = T_;
    using Tile = OperandTile<T, kContiguous, kOuter, kDepth>;
    static constexpr unsigned kWarpOuter = kWarpOuter_;
    static constexpr unsigned kBlocks = kWarpOuter / 16;
    static constexpr unsigned kThreads = kThreads_;
    static constexpr unsigned kSlices = kDepth * sizeof(T) / (2 * kChunkBytes);
    static constexpr unsigned kSliceDepth = kDepth / kSlices;
};

constexpr Contiguous kK = Contiguous::kDepth;
constexpr Contiguous kO = Contiguous::kOuter;
using Operands = ::testing::Types<
    Operand<Half, kK, 256, 32, 64, 256>, Operand<Half, kO, 256, 32, 64, 256>, Operand<Half, kK, 128, 32, 64, 256>,
    Operand<Half, kO, 128, 32, 64, 256>, Operand<Half, kK, 128, 32, 64, 128>, Operand<Half, kO, 128, 32, 64, 128>,
    Operand<Half, kK, 160, 32, 80, 128>, Operand<Half, kO, 160, 32, 80, 128>, Operand<Half, kK, 64, 32, 32, 128>,
    Operand<Half, kO, 64, 32, 32, 128>, Operand<Half, kK, 64, 64, 32, 128>, Operand<Half, kO, 64, 64, 32, 128>,
    Operand<float, kK, 128, 16, 64, 128>, Operand<float, kO, 128, 16, 64, 128>, Operand<float, kK, 160, 16, 80, 128>,
    Operand<float, kO, 160, 16, 80, 128>, Operand<float, kK, 64, 16, 32, 128>, Operand<float, kO, 64, 16, 32, 128>,
    Operand<float, kK, 64, 32, 32, 128>, Operand<float, kO, 64, 32, 32, 128>>;

/// The element that lies at a byte of a tile, as its indices.
template <class Tile>
std::pair<unsigned, unsigned> outer_and_depth_at(unsigned offset) {
    const unsigned row = offset / Tile::kRowBytes;
    for (unsigned chunk = 0; chunk < Tile::kChunks; ++chunk) {
        const unsigned first = Tile::offset(row, chunk);
        if (offset < first || offset >= first + kChunkBytes) continue;
        const unsigned column =
            chunk * Tile::kChunkElements + (offset - first) / static_cast<unsigned>(sizeof(typename Tile::Element));
        return Tile::kDepthContiguous ? std::pair(row, column) : std::pair(column, row);
    }
    ADD_FAILURE() << "no chunk lies at " << offset;
    return {};
}

template <class Operand>
class MatmulOperand : public ::testing::Test {};
TYPED_TEST_SUITE(MatmulOperand, Operands);

template <class Operand, unsigned kCopyBytes>
void check_copies() {
    using Tile = typename Operand::Tile;
    using Copies = TileCopies<Tile, Operand::kThreads, kCopyBytes>;
    std::vector<int> copied(Tile::kBytes);
    for (unsigned copy = 0; copy < Copies::kCount; ++copy) {
        for (unsigned warp = 0; warp < Operand::kThreads; warp += kWarp) {
            constexpr unsigned kLanesAtOnce = std::min(kWarp, kBanks * kBankBytes / kCopyBytes);
            for (unsigned lanes = 0; lanes < kWarp; lanes += kLanesAtOnce) {
                std::vector<unsigned> offsets;
                for (unsigned thread = warp + lanes; thread < warp + lanes + kLanesAtOnce; ++thread) {
                    if (!Copies::exists(thread, copy)) continue;
                    const unsigned offset = Copies::offset(thread, copy);
                    const unsigned row = Copies::row(thread, copy);
                    const unsigned column =
                        Copies::byte(thread, copy) / static_cast<unsigned>(sizeof(typename Operand::T));
                    EXPECT_EQ(outer_and_depth_at<Tile>(offset),
                              Tile::kDepthContiguous ? std::pair(row, column) : std::pair(column, row));
                    for (unsigned byte = 0; byte < kCopyBytes; ++byte) ++copied.at(offset + byte);
                    offsets.push_back(offset);
                }
                ASSERT_LE(conflicts(offsets, kCopyBytes), 1u) << "copy " << copy;
            }
        }
    }
    EXPECT_EQ(std::count(copied.begin(), copied.end(), 1), static_cast<int64_t>(copied.size()));
}

TYPED_TEST(MatmulOperand, CopiesOf16Bytes_CoverTheTileOnceWithoutConflicts) {
    check_copies<TypeParam, 16>();
}

TYPED_TEST(MatmulOperand, CopiesOf4Bytes_CoverTheTileOnceWithoutConflicts) {
    check_copies<TypeParam, 4>();
}

/// Calls `visit(reader's offsets, first outer index, block, slice)` for all that all warps of a block read.
template <class Operand, class Visitor>
void for_each_fragment(Quarter (*quarter)(unsigned), const Visitor &visit) {
    using Offsets = FragmentOffsets<typename Operand::Tile, Operand::kBlocks>;
    for (unsigned first = 0; first < Operand::Tile::kOuter; first += Operand::kWarpOuter) {
        std::vector<Offsets> lanes;
        for (unsigned lane = 0; lane < kWarp; ++lane) lanes.emplace_back(first, lane, quarter);
        for (unsigned block = 0; block < Operand::kBlocks; ++block) {
            for (unsigned slice = 0; slice < Operand::kSlices; ++slice) visit(lanes, first + 16 * block, block, slice);
        }
    }
}

/// Checks one register of a fragment: lane 4 g + t holds outer index g and depth 2t, 2t + 1, or t of 4-byte elements.
template <class Operand>
void check_fragments(Quarter (*quarter)(unsigned)) {
    using Tile = typename Operand::Tile;
    const auto expect_at = [](unsigned offset, unsigned outer, unsigned depth) {
        EXPECT_EQ(outer_and_depth_at<Tile>(offset), std::pair(outer, depth));
    };
    for_each_fragment<Operand>(quarter, [&](const auto &lanes, unsigned outer, unsigned block, unsigned slice) {
        const unsigned depth = slice * Operand::kSliceDepth;
        for (unsigned index = 0; index < 4; ++index) {
            const Quarter own = quarter(index);
            const unsigned first_outer = outer + 8 * own.outer;
            const unsigned first_depth = depth + Operand::kSliceDepth / 2 * own.depth;
            std::vector<unsigned> offsets;
            if constexpr (Tile::kReadsElements) {
                for (unsigned lane = 0; lane < kWarp; ++lane) {
                    offsets.push_back(lanes[lane].element(block, slice, own));
                    expect_at(offsets.back(), first_outer + lane / 4, first_depth + lane % 4);
                }
                ASSERT_EQ(conflicts(offsets, 4), 1u);
            } else {
                for (unsigned row = 0; row < 8; ++row) {
                    offsets.push_back(lanes[8 * index + row].chunk(block, slice));
                    // Transposed, ldmatrix takes the matrix's columns from chunks of k.
                    expect_at(offsets.back(), first_outer + (Tile::kDepthContiguous ? row : 0),
                              first_depth + (Tile::kDepthContiguous ? 0 : row));
                }
                ASSERT_EQ(conflicts(offsets, kChunkBytes), 1u);
            }
        }
    });
}

TYPED_TEST(MatmulOperand, FragmentsOfA_AreReadWithoutConflicts) {
    check_fragments<TypeParam>(a_quarter);
}

TYPED_TEST(MatmulOperand, FragmentsOfB_AreReadWithoutConflicts) {
    check_fragments<TypeParam>(b_quarter);
}

TEST(MatmulOperandTester, RowsOfOneBank_AreCountedAsConflicts) {
    EXPECT_EQ(conflicts({0, 128, 256}, 16), 3u);
    EXPECT_EQ(conflicts({0, 0, 16}, 16), 1u); // the same word is handed to all who ask
    EXPECT_EQ(conflicts({0, 124, 128}, 4), 2u);
}

} // namespace
} // namespace mezzo::testing
