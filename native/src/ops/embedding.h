// SPDX-License-Identifier: MIT
// embedding as the devices see it; the formula is said in embedding.cpp.
#pragma once

#include "core/convert.h"
#include "core/op.h"

namespace mezzo {

struct EmbeddingForward {
    TensorData out;     // [indices, features]
    TensorData weight;  // [rows, features]
    TensorData indices; // i32 or i64
    int64_t rows;
    int64_t features;
};

struct EmbeddingBackward {
    TensorData grad_weight; // [rows, features]
    TensorData grad_output; // [indices, features]
    TensorData indices;
    int64_t rows;
    int64_t features;
    int64_t padding_index; // -1: none
    bool accumulate;
};

/// Whether an index counts in the backward.
MEZZO_HOST_DEVICE bool takes_part(int64_t index, int64_t rows, int64_t padding_index) {
    return index >= 0 && index < rows && index != padding_index;
}

/// A sum as it is stored, beside what is there.
template <class T>
MEZZO_HOST_DEVICE T stored_sum(double sum, T there, bool accumulate) {
    return convert<T>(static_cast<Arithmetic<T>>(accumulate ? sum + static_cast<double>(widen(there)) : sum));
}

} // namespace mezzo
