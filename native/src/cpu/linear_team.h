// SPDX-License-Identifier: MIT
// What the forward and the backward of the linear layer share: the team, its scratch memory, and the
// conversions between a layer's dtypes and a backend's.
#pragma once

#include "cpu/linear.h"
#include "cpu/simd.h"

#include <exception>
#include <functional>

namespace mezzo::cpu {

struct Range {
    int64_t begin;
    int64_t end;

    int64_t size() const { return end - begin; }
};

/// Part `index` of [0, n), in units of `unit`. Parts are as equal as they can be; some may be empty.
Range part_of(int64_t n, int64_t parts, int64_t index, int64_t unit);

/// Largest size that part_of() answers.
int64_t largest_part(int64_t n, int64_t parts, int64_t unit);

/// Columns of a layer are divided at whole vectors.
inline constexpr int64_t kColumnUnit = 16;

/// Lays pieces of scratch memory out one after the other, each aligned to kMemoryAlignment.
class ScratchLayout {
  public:
    /// Answers the offset of a piece.
    int64_t add(int64_t bytes) {
        const int64_t offset = bytes_;
        bytes_ += (bytes + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
        return offset;
    }

    int64_t bytes() const { return bytes_; }

  private:
    int64_t bytes_ = 0;
};

/// Calls `member(index)` for each member of a team, in parallel; the first exception comes out again.
void run_team(int64_t members, const std::function<void(int64_t)> &member);

/// Dtype in which a backend accumulates.
constexpr mezzo_dtype accumulator_of(mezzo_dtype element) {
    return element == MEZZO_DTYPE_F64 ? MEZZO_DTYPE_F64 : MEZZO_DTYPE_F32;
}

/// Elements of a layer in the dtype that a backend reads: where they are, or converted into scratch.
const std::byte *as_element(const std::byte *data, mezzo_dtype dtype, int64_t count, mezzo_dtype element,
                            std::byte *scratch);

/// A range of rows of a layer's tensor, as memory that is read soon; nothing when the tensor was not given.
UpcomingRead rows_of(const std::byte *data, mezzo_dtype dtype, int64_t features, Range rows);

/// Whether a backend can write a result where it belongs; else it goes through a buffer of accumulators.
bool writes_directly(const ProductBackend &backend, mezzo_dtype dtype, bool accumulate);

/// Stores rows of accumulators as another dtype, added to what is there when `accumulate`.
void store_rows(const TensorData &to, int64_t to_stride, const std::byte *from, mezzo_dtype accumulator, Range columns,
                int64_t rows, bool accumulate);

} // namespace mezzo::cpu
