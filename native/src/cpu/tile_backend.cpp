// SPDX-License-Identifier: MIT
// Products by register tiles, for processors with AVX-512: B packed in panels of up to five vectors of
// columns, each small enough for the first-level cache, A read where it lies.
#include "core/cpu.h"
#include "cpu/product.h"

#if defined(__x86_64__)

#include "cpu/tile_kernel.h"

#include <algorithm>
#include <array>
#include <utility>

namespace mezzo::cpu {
namespace {

constexpr int kMaxVectors = 5;

// Rows of a tile for each number of vectors: as many accumulators as fit beside one unit of a and of b.
constexpr std::array<int, kMaxVectors> kTileRows{8, 8, 8, 6, 5};

/// How the vectors of a row of B fall into panels: as evenly as they can.
class Panels {
  public:
    Panels(int64_t columns, int64_t lanes)
        : vectors_((columns + lanes - 1) / lanes),
          count_((vectors_ + kMaxVectors - 1) / kMaxVectors),
          width_(vectors_ / count_),
          wider_(vectors_ % count_) {}

    int64_t vectors() const { return vectors_; }
    int64_t count() const { return count_; }
    int64_t first(int64_t panel) const { return panel * width_ + std::min(panel, wider_); }
    int64_t width(int64_t panel) const { return width_ + (panel < wider_ ? 1 : 0); }

  private:
    int64_t vectors_;
    int64_t count_;
    int64_t width_; // of the narrower panels
    int64_t wider_; // how many are one vector wider
};

// Rows of a tile of a panel of that width.
int64_t tile_rows(int64_t width) {
    return kTileRows[static_cast<size_t>(width - 1)];
}

/// Divides what the caller reads next among the tiles, which bring it into the second-level cache: their
/// arithmetic leaves the memory idle otherwise.
class ReadAhead {
  public:
    ReadAhead(std::span<const UpcomingRead> reads, int64_t tiles) : reads_(reads) {
        int64_t bytes = 0;
        for (const UpcomingRead &read : reads) bytes += read.bytes;
        share_ = (bytes + tiles - 1) / tiles;
    }

    /// Bytes for one tile.
    int64_t share() const { return share_; }

    /// Where the next tile's share begins, 0 when all is read. A share may end past what it belongs to.
    uintptr_t next() {
        while (!reads_.empty() && done_ >= reads_.front().bytes) {
            reads_ = reads_.subspan(1);
            done_ = 0;
        }
        if (reads_.empty()) return 0;
        const auto share = reinterpret_cast<uintptr_t>(reads_.front().data + done_);
        done_ += share_;
        return share;
    }

  private:
    std::span<const UpcomingRead> reads_;
    int64_t share_;
    int64_t done_ = 0; // bytes of the first of reads_
};

template <class Element>
class TileBackend final : public ProductBackend {
    using Scalar = typename Element::Scalar;
    using Tile = void (*)(const TileTarget &, const TileSource &);

    static constexpr int64_t kElementBytes = sizeof(Scalar);
    static constexpr int64_t kUnitBytes = kElementBytes * Element::kUnit;
    static constexpr int64_t kAccumulatorBytes = kVectorBytes / Element::kLanes;

  public:
    explicit constexpr TileBackend(mezzo_dtype element) : element_(element) {}

    const char *name() const noexcept override { return "avx512 tiles"; }
    mezzo_dtype element() const noexcept override { return element_; }

    // As the depth of the weight gradient's product this makes a panel of 30 KiB.
    int64_t block_rows() const noexcept override { return 96 * Element::kUnit; }

    int64_t left_bytes(bool transposed, int64_t m, int64_t k) const noexcept override {
        if (!transposed || Element::kUnit == 1) return 0;
        return units(k) * Panels(m, Element::kLanes).vectors() * kVectorBytes;
    }

    int64_t right_bytes(int64_t k, int64_t n) const noexcept override {
        return units(k) * Panels(n, Element::kLanes).vectors() * kVectorBytes;
    }

    PackedMatrix pack_left(const MatrixView &a, int64_t m, int64_t k, std::byte *scratch) const override {
        if (a.column_stride == 1) return {a.data, a.row_stride * kElementBytes, kUnitBytes};
        if constexpr (Element::kUnit == 1) {
            return {a.data, kElementBytes, a.column_stride * kElementBytes};
        } else {
            const int64_t unit_bytes = Panels(m, Element::kLanes).vectors() * kVectorBytes;
            for (int64_t unit = 0; unit < units(k); ++unit) {
                pack_columns(scratch + unit * unit_bytes, a.data, a.column_stride, unit, k, 0, m);
            }
            return {scratch, kUnitBytes, unit_bytes};
        }
    }

    PackedMatrix pack_right(const MatrixView &b, int64_t k, int64_t n, std::byte *scratch) const override {
        const Panels panels(n, Element::kLanes);
        if (b.column_stride == 1) {
            for (int64_t unit = 0; unit < units(k); ++unit) {
                for (int64_t panel = 0; panel < panels.count(); ++panel) {
                    const int64_t begin = panels.first(panel) * Element::kLanes;
                    const int64_t end = std::min(n, begin + panels.width(panel) * Element::kLanes);
                    std::byte *to =
                        scratch + (panels.first(panel) * units(k) + unit * panels.width(panel)) * kVectorBytes;
                    pack_columns(to, b.data, b.row_stride, unit, k, begin, end);
                }
            }
        } else {
            for (int64_t panel = 0; panel < panels.count(); ++panel) {
                const int64_t step = panels.width(panel) * kVectorBytes;
                for (int64_t j = 0; j < panels.width(panel); ++j) {
                    const int64_t begin = (panels.first(panel) + j) * Element::kLanes;
                    const int64_t lanes = std::min(n - begin, Element::kLanes);
                    std::byte *to = scratch + panels.first(panel) * units(k) * kVectorBytes + j * kVectorBytes;
                    pack_transposed(to, step, b.data + begin * b.column_stride * kElementBytes, b.column_stride, k,
                                    lanes);
                }
            }
        }
        return {scratch, 0, 0};
    }

    void multiply(const ProductTarget &c, const PackedMatrix &a, const PackedMatrix &b, const ProductShape &shape,
                  std::span<const UpcomingRead> upcoming) const override {
        const Panels panels(shape.n, Element::kLanes);
        const bool narrow = c.dtype == element_;
        ReadAhead read_ahead(upcoming, count_tiles(panels, shape.m));
        const int64_t target_bytes = narrow ? kElementBytes : kAccumulatorBytes;
        for (int64_t panel = 0; panel < panels.count(); ++panel) {
            const int64_t width = panels.width(panel);
            const int64_t begin = panels.first(panel) * Element::kLanes;
            const int64_t last = (panels.first(panel) + width - 1) * Element::kLanes;
            TileTarget target{
                .data = c.data + begin * target_bytes,
                .row_bytes = c.row_stride * target_bytes,
                .bias = c.bias == nullptr ? nullptr : c.bias + begin * kAccumulatorBytes,
                .last_mask = lane_mask<Element>(shape.n - last),
                .narrow = narrow && Element::kUnit > 1,
                .relu = c.relu,
                .accumulate = c.accumulate,
            };
            TileSource source{
                .a = a.data,
                .a_row_bytes = a.row_stride,
                .a_unit_bytes = a.column_stride,
                .b = b.data + panels.first(panel) * units(shape.k) * kVectorBytes,
                .depth = shape.k,
                .ahead = 0,
                .ahead_bytes = static_cast<uintptr_t>((read_ahead.share() + units(shape.k) - 1) / units(shape.k)),
            };
            for (int64_t row = 0; row < shape.m;) {
                const int64_t rows = std::min(shape.m - row, tile_rows(width));
                source.ahead = read_ahead.next();
                tile(rows, width)(target, source);
                target.data += rows * target.row_bytes;
                source.a += rows * source.a_row_bytes;
                row += rows;
            }
        }
    }

  private:
    static int64_t count_tiles(const Panels &panels, int64_t m) {
        int64_t tiles = 0;
        for (int64_t panel = 0; panel < panels.count(); ++panel) {
            const int64_t rows = tile_rows(panels.width(panel));
            tiles += (m + rows - 1) / rows;
        }
        return tiles;
    }

    static int64_t units(int64_t k) { return (k + Element::kUnit - 1) / Element::kUnit; }

    /// Packs one unit of depth of columns [begin, end) of a matrix whose rows are `stride` elements apart.
    MEZZO_TILE_TARGET static void pack_columns(std::byte *to, const std::byte *data, int64_t stride, int64_t unit,
                                               int64_t k, int64_t begin, int64_t end) {
        const int64_t row = unit * Element::kUnit;
        const std::byte *first = data + row * stride * kElementBytes;
        const std::byte *second = Element::kUnit > 1 && row + 1 < k ? first + stride * kElementBytes : nullptr;
        for (int64_t column = begin; column < end; column += Element::kLanes) {
            const int64_t offset = column * kElementBytes;
            Element::pack_unit(to, first + offset, second == nullptr ? nullptr : second + offset,
                               lane_mask<Element>(end - column));
            to += kVectorBytes;
        }
    }

    /// Packs one vector of columns of a matrix whose columns lie `stride` elements apart, for all units.
    static void pack_transposed(std::byte *to, int64_t step, const std::byte *columns, int64_t stride, int64_t k,
                                int64_t lanes) {
        for (int64_t unit = 0; unit < units(k); ++unit) {
            const int64_t bytes = std::min(k - unit * Element::kUnit, Element::kUnit) * kElementBytes;
            const std::byte *from = columns + unit * kUnitBytes;
            if (bytes < kUnitBytes || lanes < Element::kLanes) std::memset(to, 0, kVectorBytes);
            for (int64_t lane = 0; lane < lanes; ++lane) {
                std::byte *unit_to = to + lane * kUnitBytes;
                const std::byte *unit_from = from + lane * stride * kElementBytes;
                if (bytes == kUnitBytes) {
                    std::memcpy(unit_to, unit_from, kUnitBytes);
                } else {
                    std::memcpy(unit_to, unit_from, kElementBytes);
                }
            }
            to += step;
        }
    }

    template <int kVectors, size_t... kRow>
    static constexpr std::array<Tile, 8> tiles_of_width(std::index_sequence<kRow...>) {
        return {multiply_tile<Element, static_cast<int>(kRow) + 1, kVectors>...};
    }

    /// The tile kernel of a number of rows and vectors.
    static Tile tile(int64_t rows, int64_t vectors) {
        static constexpr std::array<std::array<Tile, 8>, kMaxVectors> kTiles{
            tiles_of_width<1>(std::make_index_sequence<kTileRows[0]>{}),
            tiles_of_width<2>(std::make_index_sequence<kTileRows[1]>{}),
            tiles_of_width<3>(std::make_index_sequence<kTileRows[2]>{}),
            tiles_of_width<4>(std::make_index_sequence<kTileRows[3]>{}),
            tiles_of_width<5>(std::make_index_sequence<kTileRows[4]>{}),
        };
        return kTiles[static_cast<size_t>(vectors - 1)][static_cast<size_t>(rows - 1)];
    }

    mezzo_dtype element_;
};

} // namespace

const ProductBackend *tile_backend(mezzo_dtype element) {
    static constexpr TileBackend<F32Element> f32(MEZZO_DTYPE_F32);
    static constexpr TileBackend<F64Element> f64(MEZZO_DTYPE_F64);
    static constexpr TileBackend<Bf16Element> bf16(MEZZO_DTYPE_BF16);
    if (cpu_level() != CpuLevel::kV4) return nullptr;
    if (element == MEZZO_DTYPE_F32) return &f32;
    if (element == MEZZO_DTYPE_F64) return &f64;
    if (element == MEZZO_DTYPE_BF16 && cpu_has_avx512_bf16()) return &bf16;
    return nullptr;
}

} // namespace mezzo::cpu

#else

namespace mezzo::cpu {

const ProductBackend *tile_backend(mezzo_dtype) {
    return nullptr;
}

} // namespace mezzo::cpu

#endif
