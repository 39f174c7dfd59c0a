// SPDX-License-Identifier: MIT
// dropout as the devices see it; the formula is said in dropout.cpp.
#pragma once

#include "core/convert.h"
#include "core/op.h"
#include "device/philox.h"

namespace mezzo {

struct DropoutForward {
    TensorData out;
    TensorData input;
    TensorData step; // i64 scalar; may be missing
    uint64_t seed;
    uint64_t stream;
    uint64_t threshold; // words below it keep their element: (1 - p) 2^32
    double factor;      // 1 / (1 - p)
};

/// Which draw a call makes.
struct Draw {
    uint64_t seed;
    uint64_t stream;
};

/// For implementations: it reads the device's memory.
MEZZO_HOST_DEVICE Draw draw_of(const DropoutForward &a) {
    if (a.step.data == nullptr) return {a.seed, a.stream};
    const auto step = static_cast<uint64_t>(*reinterpret_cast<const int64_t *>(a.step.data));
    const philox::Block block = philox::block_at(a.seed, a.stream, step);
    return {block.word[0] | static_cast<uint64_t>(block.word[1]) << 32,
            block.word[2] | static_cast<uint64_t>(block.word[3]) << 32};
}

/// An element of the output.
template <class T>
MEZZO_HOST_DEVICE T dropped_out(T input, uint32_t word, uint64_t threshold, Arithmetic<T> factor) {
    const T scaled = convert<T>(widen(input) * factor);
    return word < threshold ? scaled : T{};
}

} // namespace mezzo
