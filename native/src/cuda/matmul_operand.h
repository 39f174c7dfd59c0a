// SPDX-License-Identifier: MIT
// The tile of one operand in shared memory: where its bytes lie, what each thread copies to it, what each lane reads
// of it. Pure functions of indices, so that a test counts bank conflicts without a GPU.
//
// A tile is stored as its matrix is, row by row; `outer` is m of a and n of b:
//   kDepth   k is contiguous    rows are outer, columns are k    a as it is, b transposed
//   kOuter   outer is           rows are k, columns are outer    a transposed, b as it is
// Rows are made of chunks of 16 bytes. A chunk's place within its row is its index XOR a number that changes from row
// to row, so that the eight chunks that a group of lanes reads or writes at once lie in different banks.
#pragma once

#include "core/host_device.h"

#include <cstdint>
#include <numeric>

namespace mezzo {

inline constexpr unsigned kChunkBytes = 16;
inline constexpr unsigned kBankChunks = 8; // the 32 banks of 4 bytes, as chunks

/// The dimension of an operand that is contiguous in memory.
enum class Contiguous {
    kDepth,
    kOuter,
};

template <class T, Contiguous kContiguous_, unsigned kOuter_, unsigned kDepth_>
struct OperandTile {
    using Element = T;
    static constexpr Contiguous kContiguous = kContiguous_;
    static constexpr bool kDepthContiguous = kContiguous == Contiguous::kDepth;
    static constexpr unsigned kOuter = kOuter_;
    static constexpr unsigned kDepth = kDepth_;
    static constexpr unsigned kRows = kDepthContiguous ? kOuter : kDepth;
    static constexpr unsigned kColumns = kDepthContiguous ? kDepth : kOuter;
    static constexpr unsigned kChunkElements = kChunkBytes / sizeof(T);
    static constexpr unsigned kChunks = kColumns / kChunkElements; // of a row
    static constexpr unsigned kRowBytes = kChunks * kChunkBytes;
    static constexpr unsigned kBytes = kRows * kRowBytes;
    static_assert(kColumns % kChunkElements == 0);

    /// Chunks that change places among themselves. 8 / kPermuted rows fill the banks before places change.
    static constexpr unsigned kPermuted = std::gcd(kChunks, kBankChunks);

    /// Fragments of 4-byte elements across rows are read element by element: a warp reads 4 rows of 2 chunks.
    static constexpr bool kReadsElements = !kDepthContiguous && sizeof(T) == 4;
    static_assert(!kReadsElements || kPermuted == kBankChunks);

    static constexpr unsigned kPeriod = 8; // rows after which places repeat

    /// Bytes from the tile's start to a chunk.
    MEZZO_HOST_DEVICE static constexpr unsigned offset(unsigned row, unsigned chunk) {
        const unsigned turn = kReadsElements ? (row & 3) << 1 : row / (kBankChunks / kPermuted) & (kPermuted - 1);
        const unsigned place = (chunk & ~(kPermuted - 1)) | ((chunk & (kPermuted - 1)) ^ turn);
        return (row * kChunks + place) * kChunkBytes;
    }
};

/// A quarter of a fragment of 16 outer indices and a slice's depth, one of four registers: which half of either.
struct Quarter {
    unsigned outer;
    unsigned depth;
};

/// The quarter in register `index` of an A fragment.
MEZZO_HOST_DEVICE constexpr Quarter a_quarter(unsigned index) {
    return {.outer = index % 2, .depth = index / 2};
}

/// The same of two B fragments of 8 columns each.
MEZZO_HOST_DEVICE constexpr Quarter b_quarter(unsigned index) {
    return {.outer = index / 2, .depth = index % 2};
}

/// Where a lane reads fragments from a tile: kBlocks of them, 16 outer indices each, from `first`, a multiple of 16,
/// and slices of k, two chunks deep. Distances are constants or XORs of constants as far as they can be.
template <class Tile, unsigned kBlocks>
class FragmentOffsets {
    static constexpr unsigned kElement = sizeof(typename Tile::Element);
    static constexpr unsigned kBlockChunks = 16 * kElement / kChunkBytes;
    static constexpr unsigned kSliceDepth = 2 * Tile::kChunkElements;
    static constexpr unsigned kTurns =
        Tile::kDepthContiguous ? 1 : Tile::kPermuted / kBlockChunks; // until places repeat
    static constexpr unsigned kKept = kBlocks < kTurns ? kBlocks : kTurns;
    static constexpr unsigned kHalves = Tile::kReadsElements ? 2 : 1;

  public:
    MEZZO_HOST_DEVICE FragmentOffsets(unsigned first, unsigned lane, Quarter (*quarter)(unsigned)) {
        const Quarter own = quarter(lane / 8);
        for (unsigned i = 0; i < kKept; ++i) {
            const unsigned outer = first + 16 * i;
            if constexpr (Tile::kReadsElements) {
                for (unsigned half = 0; half < 2; ++half) {
                    const unsigned column = outer + 8 * half + lane / 4;
                    kept_[i][half] = Tile::offset(lane % 4, column / Tile::kChunkElements) +
                                     column % Tile::kChunkElements * kElement;
                }
            } else if constexpr (Tile::kDepthContiguous) {
                kept_[i][0] = Tile::offset(outer + 8 * own.outer + lane % 8, own.depth);
            } else {
                kept_[i][0] = Tile::offset(8 * own.depth + lane % 8, outer / Tile::kChunkElements + own.outer);
            }
        }
    }

    /// Bytes from the tile's start to the eight elements of k or outer that the lane hands to ldmatrix.
    MEZZO_HOST_DEVICE unsigned chunk(unsigned block, unsigned slice) const {
        if constexpr (Tile::kDepthContiguous) {
            static_assert(Tile::kChunks == Tile::kPermuted, "a slice is an XOR away");
            return (kept_[0][0] ^ (slice * 2 * kChunkBytes)) + block * 16 * Tile::kRowBytes;
        } else {
            return kept_[block % kKept][0] + constant(block, slice);
        }
    }

    /// Bytes to the lane's element of a quarter, for tiles whose elements are read one by one.
    MEZZO_HOST_DEVICE unsigned element(unsigned block, unsigned slice, Quarter quarter) const {
        return kept_[block % kKept][quarter.outer % kHalves] + constant(block, slice) +
               quarter.depth * kSliceDepth / 2 * Tile::kRowBytes;
    }

  private:
    MEZZO_HOST_DEVICE static constexpr unsigned constant(unsigned block, unsigned slice) {
        return block / kKept * kKept * kBlockChunks * kChunkBytes + slice * kSliceDepth * Tile::kRowBytes;
    }

    unsigned kept_[kKept][kHalves];
};

/// Which parts of a tile each of kThreads threads copies, kCopyBytes at a time. Neighbours copy along a row, across
/// the chunks that change places; the others follow row by row.
template <class Tile, unsigned kThreads, unsigned kCopyBytes>
struct TileCopies {
    static constexpr unsigned kNeighbours = Tile::kPermuted * kChunkBytes / kCopyBytes;
    static constexpr unsigned kStep = kThreads / kNeighbours; // rows from one copy of a thread to its next
    static constexpr unsigned kSpans = Tile::kChunks / Tile::kPermuted;
    static constexpr unsigned kUnits = Tile::kRows * kSpans;
    static constexpr unsigned kCount = (kUnits + kStep - 1) / kStep; // copies of a thread

    /// Copies of a thread until places in shared memory repeat, and until rows do.
    static constexpr unsigned kPlaces = kStep < Tile::kPeriod ? Tile::kPeriod / kStep : 1;
    static constexpr unsigned kSpanRows = kStep < Tile::kRows ? Tile::kRows / kStep : 1;
    static constexpr unsigned kRows = kSpans == 1 ? kCount : kSpanRows;
    static_assert(kThreads % kNeighbours == 0);
    static_assert(kPlaces * kStep % Tile::kPeriod == 0, "or a copy's place is no constant away from an earlier one's");
    static_assert(kSpans == 1 || Tile::kRows % kStep == 0 || kStep % Tile::kRows == 0);

    MEZZO_HOST_DEVICE static constexpr unsigned row(unsigned thread, unsigned copy) {
        if constexpr (kStep > Tile::kRows && kSpans > 1) return thread / kNeighbours % Tile::kRows;
        return thread / kNeighbours + (kSpans > 1 ? copy * kStep % Tile::kRows : copy * kStep);
    }

    /// Bytes from the row's start, in the matrix.
    MEZZO_HOST_DEVICE static constexpr unsigned byte(unsigned thread, unsigned copy) {
        return span(thread, copy) * Tile::kPermuted * kChunkBytes + thread % kNeighbours * kCopyBytes;
    }

    /// Bytes from the tile's start, in shared memory: a constant away from one of a thread's first kPlaces copies.
    MEZZO_HOST_DEVICE static constexpr unsigned offset(unsigned thread, unsigned copy) {
        return place(thread, copy % kPlaces) + distance(thread, copy);
    }

    /// Bytes from the tile's start to one of the first kPlaces copies, and from there to `copy`.
    MEZZO_HOST_DEVICE static constexpr unsigned place(unsigned thread, unsigned copy) {
        const unsigned at = byte(thread, copy);
        return Tile::offset(row(thread, copy), at / kChunkBytes) + at % kChunkBytes;
    }
    MEZZO_HOST_DEVICE static constexpr unsigned distance(unsigned thread, unsigned copy) {
        const unsigned first = copy % kPlaces;
        return (row(thread, copy) - row(thread, first)) * Tile::kRowBytes + byte(thread, copy) - byte(thread, first);
    }

    /// Whether a thread has this copy: in the last round some have none.
    MEZZO_HOST_DEVICE static constexpr bool exists(unsigned thread, unsigned copy) {
        return kUnits % kStep == 0 || thread / kNeighbours + copy * kStep < kUnits;
    }

  private:
    MEZZO_HOST_DEVICE static constexpr unsigned span(unsigned thread, unsigned copy) {
        if constexpr (kSpans == 1) return 0;
        if constexpr (kStep > Tile::kRows) return thread / kNeighbours / Tile::kRows + copy * (kStep / Tile::kRows);
        return copy * kStep / Tile::kRows;
    }
};

} // namespace mezzo
