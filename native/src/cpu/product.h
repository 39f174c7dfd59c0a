// SPDX-License-Identifier: MIT
// Matrix products of one thread, C[m, n] = activation(A[m, k] B[k, n] + bias), behind one interface.
//
// A layer calls them block by block from each thread of its team, so a backend never starts threads.
// A and B are first brought into the backend's layout, which costs nothing where the backend reads them
// in place; a packed B serves any number of products.
#pragma once

#include <mezzo/mezzo.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace mezzo::cpu {

/// A matrix in memory: element (i, j) lies i * row_stride + j * column_stride elements after data.
/// One of the two strides is 1.
struct MatrixView {
    const std::byte *data;
    int64_t row_stride;
    int64_t column_stride;
};

/// One side of a product in the layout of the backend that packed it, strides in that backend's own unit.
struct PackedMatrix {
    const std::byte *data;
    int64_t row_stride;
    int64_t column_stride;
};

/// Sizes of a product, each at least 1.
struct ProductShape {
    int64_t m;
    int64_t n;
    int64_t k;
};

/// Where a product goes and what is done to it on the way.
struct ProductTarget {
    std::byte *data;
    int64_t row_stride;    // in elements; columns are adjacent
    mezzo_dtype dtype;     // the accumulator's, or the elements'
    const std::byte *bias; // [n] in the accumulator's dtype, null for none
    bool relu;
    bool accumulate; // adds to what is there; dtype is the accumulator's, no bias, no ReLU
};

/// Memory that the caller reads soon. A backend that waits for its arithmetic, not for memory, may bring it
/// into the cache meanwhile.
struct UpcomingRead {
    const std::byte *data;
    int64_t bytes;
};

/// A way to multiply matrices of one element dtype. Products of halves are accumulated in f32.
class ProductBackend {
  public:
    virtual const char *name() const noexcept = 0;

    /// Dtype of the elements of A and B.
    virtual mezzo_dtype element() const noexcept = 0;

    /// Rows of a block whose operands fit the caches that this backend counts on.
    virtual int64_t block_rows() const noexcept = 0;

    /// Bytes of scratch that pack_left() needs for A[m, k], 0 when it reads in place.
    virtual int64_t left_bytes(bool transposed, int64_t m, int64_t k) const noexcept = 0;

    /// Bytes of scratch that pack_right() needs for B[k, n], 0 when it reads in place.
    virtual int64_t right_bytes(int64_t k, int64_t n) const noexcept = 0;

    /// Lays out A[m, k] or B[k, n] in scratch aligned to 64 bytes. The result lives as long as both.
    virtual PackedMatrix pack_left(const MatrixView &a, int64_t m, int64_t k, std::byte *scratch) const = 0;
    virtual PackedMatrix pack_right(const MatrixView &b, int64_t k, int64_t n, std::byte *scratch) const = 0;

    virtual void multiply(const ProductTarget &c, const PackedMatrix &a, const PackedMatrix &b,
                          const ProductShape &shape, std::span<const UpcomingRead> upcoming) const = 0;

  protected:
    ~ProductBackend() = default; // backends are immutable statics
};

/// What the choice of a backend depends on besides the product.
struct ProductMachine {
    bool avx512;
    bool avx512_bf16;
    bool onednn;
    bool onednn_amx; // oneDNN multiplies bf16 in AMX tiles
};

/// This machine.
const ProductMachine &product_machine();

/// A kind of backend and the dtype that it computes from, to which operands of other dtypes are converted.
struct ProductChoice {
    enum class Kind {
        kThin,
        kTile,
        kOneDnn,
        kPlain
    } kind;
    mezzo_dtype element;

    bool operator==(const ProductChoice &) const = default;
};

/// Chooses for the products of a linear layer: `dtype` is that of its operands, `forward` the sizes of its
/// forward product. Pure.
ProductChoice choose_product(mezzo_dtype dtype, const ProductShape &forward, const ProductMachine &machine);

/// The backend of a choice; INTERNAL when this build or machine lacks it.
const ProductBackend &product_backend(const ProductChoice &choice);

// The kinds, each in its own file. Null: not in this build, not on this machine, or not for this element.
const ProductBackend *thin_backend(mezzo_dtype element);
const ProductBackend *tile_backend(mezzo_dtype element);
const ProductBackend *onednn_backend(mezzo_dtype element);
const ProductBackend *plain_backend(mezzo_dtype element);

/// Whether oneDNN was built in and uses AMX here.
bool onednn_available();
bool onednn_uses_amx();

} // namespace mezzo::cpu
