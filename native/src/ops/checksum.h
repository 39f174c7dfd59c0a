// SPDX-License-Identifier: MIT
// checksum as the devices see it, and what an element adds to it.
#pragma once

#include "core/convert.h"
#include "core/op.h"

namespace mezzo {

struct Checksum {
    TensorData out;
    TensorData input;
};

/// What an element adds to the sum, modulo 2^64. Shifts by 32 are free where a word is two registers.
MEZZO_HOST_DEVICE uint64_t checksum_term(uint64_t bits, int64_t index) {
    constexpr uint64_t kIncrement = 0x9e3779b97f4a7c15; // 2^64 divided by the golden ratio
    constexpr uint64_t kMultiplier = 0xdaba0b6eb09322e3;
    uint64_t word = bits + (static_cast<uint64_t>(index) + 1) * kIncrement;
    word = (word ^ (word >> 32)) * kMultiplier;
    word = (word ^ (word >> 32)) * kMultiplier;
    return word ^ (word >> 32);
}

/// Calls `visitor(TypeTag<Bits>{})` with the unsigned integer that is as large as an element of a dtype.
template <class Visitor>
void visit_bits(mezzo_dtype dtype, Visitor &&visitor) {
    visit_dtype(dtype, [&](auto tag) { visitor(TypeTag<BitsOf<typename decltype(tag)::type>>{}); });
}

} // namespace mezzo
