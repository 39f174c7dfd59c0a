// SPDX-License-Identifier: MIT
// The same computation on every device of this machine: elementwise ops and sums promise the same bits on all.
#pragma once

#include "support/tensor.h"

#include <functional>

namespace mezzo::testing {

/// What a computation leaves behind, for comparisons bit by bit but for NaN, which are all alike.
class Results {
  public:
    void add(const TestTensor &tensor);
    const std::vector<uint8_t> &bytes() const { return bytes_; }

  private:
    std::vector<uint8_t> bytes_;
};

/// Expects `compute` to leave the same results on every device. It makes its tensors itself, as usual:
/// test_device() is each device in turn.
void expect_same_bits_on_every_device(const std::function<void(Results &)> &compute);

/// The same elements on the CPU; no tensor where there is none.
TestTensor on_cpu(const TestTensor &tensor);

/// A view that begins `offset` elements into a larger tensor, so that what is written beside it shows.
struct Placed {
    Placed(mezzo_dtype dtype, int64_t offset, const std::vector<double> &values);

    operator mezzo_tensor() const { return view; }

    TestTensor whole;
    TestTensor view;
};

/// Numbers of elements around the widths of packs, of warps and of the blocks of sums, and more than one pass of a
/// grid.
const std::vector<int64_t> &critical_counts();

/// Random numbers, every seventh a special value of the dtype.
std::vector<double> mixed_values(int64_t count, uint64_t seed, mezzo_dtype dtype);

} // namespace mezzo::testing
