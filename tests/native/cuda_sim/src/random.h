// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace mezzo::cuda_sim {

/// SplitMix64: one addition and two multiplications for 64 bits, because every turn of the scheduler takes some.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
class Random {
  public:
    explicit constexpr Random(uint64_t seed) : state_(seed) {}

    uint64_t bits() {
        state_ += 0x9E3779B97F4A7C15u;
        uint64_t word = state_;
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
        word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
        return word ^ (word >> 31);
    }

    /// A number below `bound`, which is less than 2^32.
    uint32_t below(uint64_t bound) { return static_cast<uint32_t>((bits() >> 32) * bound >> 32); }

    bool one_in(uint32_t n) { return below(n) == 0; }

  private:
    uint64_t state_;
};

/// A bit of a nonempty mask: the first one at or after position `start`, around the end.
inline int bit_from(uint32_t mask, int start) {
    const uint32_t turned = mask >> start | mask << ((32 - start) & 31);
    return (__builtin_ctz(turned) + start) & 31;
}

} // namespace mezzo::cuda_sim
