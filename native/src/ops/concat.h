// SPDX-License-Identifier: MIT
// concat as the devices see it: each tensor beside its part of the joined one is a matrix of bytes.
#pragma once

#include "core/op.h"

#include <vector>

namespace mezzo {

/// Rows of bytes to be copied, a pitch from one to the next.
struct RowCopy {
    std::byte *to;
    const std::byte *from;
    int64_t rows;
    int64_t row_bytes;
    int64_t to_pitch;
    int64_t from_pitch;
};

struct Concat {
    std::vector<RowCopy> copies;
};

} // namespace mezzo
