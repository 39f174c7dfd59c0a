// SPDX-License-Identifier: MIT
// Products of which one size is 1: outer products, and matrix times vector. Each element of the matrix is
// used once, so memory sets the pace; the loops read it in order, in its own dtype, and pack nothing.
#include "cpu/simd.h"

namespace mezzo::cpu {
namespace {

template <class T>
class ThinBackend final : public ProductBackend {
    using Sum = Arithmetic<T>;

  public:
    const char *name() const noexcept override { return "thin loops"; }
    mezzo_dtype element() const noexcept override { return dtype_of<T>; }
    int64_t block_rows() const noexcept override { return 256; }
    int64_t left_bytes(bool, int64_t, int64_t) const noexcept override { return 0; }
    int64_t right_bytes(int64_t, int64_t) const noexcept override { return 0; }

    PackedMatrix pack_left(const MatrixView &a, int64_t, int64_t, std::byte *) const override {
        return {a.data, a.row_stride, a.column_stride};
    }

    PackedMatrix pack_right(const MatrixView &b, int64_t, int64_t, std::byte *) const override {
        return {b.data, b.row_stride, b.column_stride};
    }

    void multiply(const ProductTarget &c, const PackedMatrix &a, const PackedMatrix &b, const ProductShape &shape,
                  std::span<const UpcomingRead>) const override {
        if (shape.k == 1) return multiply_outer(c, a, b, shape);
        // C or its transpose is a matrix times a vector: `result` numbers its elements.
        const bool column = shape.n == 1;
        const int64_t results = column ? shape.m : shape.n;
        const Matrix matrix = column ? Matrix{elements(a), a.row_stride, a.column_stride}
                                     : Matrix{elements(b), b.column_stride, b.row_stride};
        const Vector vector = column ? Vector{elements(b), b.row_stride} : Vector{elements(a), a.column_stride};
        simd_for(results, [=, &c](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            Sum chunk[kChunk];
            for (int64_t result = begin; result < end; result += kChunk) {
                const int64_t count = std::min(kChunk, end - result);
                if (column) {
                    std::fill_n(chunk, count, c.bias == nullptr ? Sum{0} : *reinterpret_cast<const Sum *>(c.bias));
                } else {
                    start_chunk(chunk, c, result, count);
                }
                if (matrix.depth_stride == 1) {
                    add_dots(chunk, matrix, vector, result, count, shape.k);
                } else {
                    add_columns(chunk, matrix, vector, result, count, shape.k);
                }
                if (column && c.row_stride != 1) {
                    for (int64_t e = 0; e < count; ++e) {
                        finish_chunk<T>(c, (result + e) * c.row_stride, chunk + e, 1);
                    }
                } else {
                    finish_chunk<T>(c, result, chunk, count);
                }
            }
        });
    }

  private:
    struct Matrix {
        const T *data;
        int64_t result_stride;
        int64_t depth_stride;
    };
    struct Vector {
        const T *data;
        int64_t stride;
    };

    static const T *elements(const PackedMatrix &matrix) { return reinterpret_cast<const T *>(matrix.data); }

    static void multiply_outer(const ProductTarget &c, const PackedMatrix &a, const PackedMatrix &b,
                               const ProductShape &shape) {
        const T *left = elements(a);
        const T *right = elements(b);
        simd_for(shape.m, [=, &c](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            Sum chunk[kChunk];
            for (int64_t i = begin; i < end; ++i) {
                const Sum factor = widen(left[i * a.row_stride]);
                for (int64_t j = 0; j < shape.n; j += kChunk) {
                    const int64_t count = std::min(kChunk, shape.n - j);
                    start_chunk(chunk, c, j, count);
                    const Vector row{right + j * b.column_stride, b.column_stride};
                    if (row.stride == 1) {
                        add_multiple(chunk, factor, {row.data, 1}, count);
                    } else {
                        add_multiple(chunk, factor, row, count);
                    }
                    finish_chunk<T>(c, i * c.row_stride + j, chunk, count);
                }
            }
        });
    }

    // Rows along the depth: one dot product for each result.
    MEZZO_ALWAYS_INLINE static inline void add_dots(Sum *chunk, const Matrix &matrix, const Vector &vector,
                                                    int64_t result, int64_t count, int64_t depth) {
        for (int64_t e = 0; e < count; ++e) {
            const T *row = matrix.data + (result + e) * matrix.result_stride;
            // Two calls, because a loop is vectorised well only where the compiler sees that its stride is 1.
            chunk[e] += vector.stride == 1 ? dot(row, {vector.data, 1}, depth) : dot(row, vector, depth);
        }
    }

    // Rows along the results: each is added, times its element of the vector.
    MEZZO_ALWAYS_INLINE static inline void add_columns(Sum *chunk, const Matrix &matrix, const Vector &vector,
                                                       int64_t result, int64_t count, int64_t depth) {
        for (int64_t d = 0; d < depth; ++d) {
            const Sum factor = widen(vector.data[d * vector.stride]);
            add_multiple(chunk, factor, {matrix.data + d * matrix.depth_stride + result, 1}, count);
        }
    }

    MEZZO_ALWAYS_INLINE static inline void add_multiple(Sum *chunk, Sum factor, const Vector &row, int64_t count) {
        for (int64_t e = 0; e < count; ++e) chunk[e] += factor * widen(row.data[e * row.stride]);
    }

    MEZZO_ALWAYS_INLINE static inline Sum dot(const T *row, const Vector &vector, int64_t depth) {
        Sum sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t d = 0; d < depth; ++d) sum += widen(row[d]) * widen(vector.data[d * vector.stride]);
        return sum;
    }
};

} // namespace

const ProductBackend *thin_backend(mezzo_dtype element) {
    return visit_floating_dtype(element, [](auto tag) -> const ProductBackend * {
        static constexpr ThinBackend<typename decltype(tag)::type> backend;
        return &backend;
    });
}

} // namespace mezzo::cpu
