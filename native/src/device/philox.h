// SPDX-License-Identifier: MIT
// Philox 4x32-10: a counter-based generator. A block of four 32-bit words is a pure function of a
// 128-bit counter and a 64-bit key, so any element of any draw is computed alone, in any order.
//
// Cost: 20 multiplications of 32 x 32 -> 64 bits a block.
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; the
// tests hold the authors' known answers.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace mezzo::philox {

constexpr int kRounds = 10;
constexpr int kWords = 4;

/// Four words: a counter going in, random bits coming out.
struct Block {
    uint32_t word[kWords];
};

struct Key {
    uint32_t word[2];
};

MEZZO_HOST_DEVICE constexpr uint32_t low_half(uint64_t value) {
    return static_cast<uint32_t>(value);
}
MEZZO_HOST_DEVICE constexpr uint32_t high_half(uint64_t value) {
    return static_cast<uint32_t>(value >> 32);
}

MEZZO_HOST_DEVICE Block generate(Block counter, Key key) {
    constexpr uint64_t kMultiplier0 = 0xD2511F53;
    constexpr uint64_t kMultiplier1 = 0xCD9E8D57;
    constexpr uint32_t kWeyl0 = 0x9E3779B9; // golden ratio
    constexpr uint32_t kWeyl1 = 0xBB67AE85; // sqrt(3) - 1

    uint32_t c0 = counter.word[0];
    uint32_t c1 = counter.word[1];
    uint32_t c2 = counter.word[2];
    uint32_t c3 = counter.word[3];
    uint32_t k0 = key.word[0];
    uint32_t k1 = key.word[1];
    MEZZO_UNROLL
    for (int round = 0; round < kRounds; ++round) {
        const uint64_t product0 = kMultiplier0 * c0;
        const uint64_t product1 = kMultiplier1 * c2;
        c0 = high_half(product1) ^ c1 ^ k0;
        c1 = low_half(product1);
        c2 = high_half(product0) ^ c3 ^ k1;
        c3 = low_half(product0);
        k0 += kWeyl0;
        k1 += kWeyl1;
    }
    return {{c0, c1, c2, c3}};
}

/// Block `index` of a draw: the key is the seed, the counter is (index, stream).
MEZZO_HOST_DEVICE Block block_at(uint64_t seed, uint64_t stream, uint64_t index) {
    return generate({{low_half(index), high_half(index), low_half(stream), high_half(stream)}},
                    {{low_half(seed), high_half(seed)}});
}

} // namespace mezzo::philox
