// SPDX-License-Identifier: MIT
// Products by plain loops, for processors and builds that have nothing faster. B is packed to rows; a tile
// of C of a few rows and a few vectors of columns is summed over the whole depth.
#include "cpu/simd.h"

namespace mezzo::cpu {
namespace {

template <class T>
class PlainBackend final : public ProductBackend {
    static constexpr int64_t kRows = 4;
    static constexpr int64_t kColumns = 128 / sizeof(T);

  public:
    const char *name() const noexcept override { return "plain loops"; }
    mezzo_dtype element() const noexcept override { return dtype_of<T>; }
    int64_t block_rows() const noexcept override { return 256; }
    int64_t left_bytes(bool, int64_t, int64_t) const noexcept override { return 0; }

    int64_t right_bytes(int64_t k, int64_t n) const noexcept override {
        return k * n * static_cast<int64_t>(sizeof(T));
    }

    PackedMatrix pack_left(const MatrixView &a, int64_t, int64_t, std::byte *) const override {
        return {a.data, a.row_stride, a.column_stride};
    }

    PackedMatrix pack_right(const MatrixView &b, int64_t k, int64_t n, std::byte *scratch) const override {
        if (b.column_stride == 1) return {b.data, b.row_stride, 1};
        const T *from = reinterpret_cast<const T *>(b.data);
        T *to = reinterpret_cast<T *>(scratch);
        for (int64_t j = 0; j < n; ++j) {
            for (int64_t i = 0; i < k; ++i) to[i * n + j] = from[j * b.column_stride + i];
        }
        return {scratch, n, 1};
    }

    void multiply(const ProductTarget &c, const PackedMatrix &a, const PackedMatrix &b, const ProductShape &shape,
                  std::span<const UpcomingRead>) const override {
        const T *left = reinterpret_cast<const T *>(a.data);
        const T *right = reinterpret_cast<const T *>(b.data);
        simd_for(shape.m, [=, &c](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            for (int64_t column = 0; column < shape.n; column += kColumns) {
                const int64_t columns = std::min(kColumns, shape.n - column);
                for (int64_t row = begin; row < end; row += kRows) {
                    const int64_t rows = std::min(kRows, end - row);
                    T tile[kRows][kColumns];
                    for (int64_t i = 0; i < rows; ++i) start_chunk(tile[i], c, column, columns);
                    if (rows == kRows && columns == kColumns) {
                        add_products(tile, left + row * a.row_stride, a, right + column, b, kRows, kColumns, shape.k);
                    } else {
                        add_products(tile, left + row * a.row_stride, a, right + column, b, rows, columns, shape.k);
                    }
                    for (int64_t i = 0; i < rows; ++i) {
                        finish_chunk<T>(c, (row + i) * c.row_stride + column, tile[i], columns);
                    }
                }
            }
        });
    }

  private:
    // Inlined twice: with constant sizes, so that the tile stays in registers, and for the edges.
    MEZZO_ALWAYS_INLINE static inline void add_products(T (&tile)[kRows][kColumns], const T *left,
                                                        const PackedMatrix &a, const T *right, const PackedMatrix &b,
                                                        int64_t rows, int64_t columns, int64_t depth) {
        for (int64_t d = 0; d < depth; ++d) {
            for (int64_t i = 0; i < rows; ++i) {
                const T factor = left[i * a.row_stride + d * a.column_stride];
                for (int64_t j = 0; j < columns; ++j) tile[i][j] += factor * right[d * b.row_stride + j];
            }
        }
    }
};

} // namespace

const ProductBackend *plain_backend(mezzo_dtype element) {
    static constexpr PlainBackend<float> f32;
    static constexpr PlainBackend<double> f64;
    if (element == MEZZO_DTYPE_F32) return &f32;
    if (element == MEZZO_DTYPE_F64) return &f64;
    return nullptr;
}

} // namespace mezzo::cpu
