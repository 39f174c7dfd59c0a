// SPDX-License-Identifier: MIT
// Collectives of a warp: shuffles, votes, reductions. The lane that arrives last runs them (src/warp.cpp).
#pragma once

#include "cuda_sim/thread.h"

#include <cstring>
#include <type_traits>

namespace mezzo::cuda_sim {

enum class ShuffleKind {
    kIndex,
    kUp,
    kDown,
    kXor
};

/// A lane's part in a shuffle; the value is replaced by what the lane reads.
struct ShuffleArguments {
    uint64_t value;
    int operand; // source lane, delta or lane mask
    int width;
};

uint64_t shuffle(ShuffleKind kind, uint32_t mask, uint64_t value, int operand, int width, const Where &where);

enum class VoteKind {
    kBallot,
    kAny,
    kAll
};

uint32_t vote(VoteKind kind, uint32_t mask, bool predicate, const Where &where);

enum class ReduceKind {
    kAdd,
    kMin,
    kMax,
    kMinSigned,
    kMaxSigned,
    kAnd,
    kOr,
    kXor
};

uint32_t reduce(ReduceKind kind, uint32_t mask, uint32_t value, const Where &where);

template <class T>
T shuffle_value(ShuffleKind kind, uint32_t mask, T value, int operand, int width, const Where &where) {
    static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "CUDA shuffles 4 and 8 bytes");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = shuffle(kind, mask, bits, operand, width, where);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

} // namespace mezzo::cuda_sim

template <class T>
T __shfl_sync(unsigned int mask, T value, int lane, int width = 32,
              const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current()) {
    return mezzo::cuda_sim::shuffle_value(mezzo::cuda_sim::ShuffleKind::kIndex, mask, value, lane, width, where);
}

template <class T>
T __shfl_up_sync(unsigned int mask, T value, unsigned int delta, int width = 32,
                 const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current()) {
    return mezzo::cuda_sim::shuffle_value(mezzo::cuda_sim::ShuffleKind::kUp, mask, value, static_cast<int>(delta),
                                          width, where);
}

template <class T>
T __shfl_down_sync(unsigned int mask, T value, unsigned int delta, int width = 32,
                   const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current()) {
    return mezzo::cuda_sim::shuffle_value(mezzo::cuda_sim::ShuffleKind::kDown, mask, value, static_cast<int>(delta),
                                          width, where);
}

template <class T>
T __shfl_xor_sync(unsigned int mask, T value, int lane_mask, int width = 32,
                  const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current()) {
    return mezzo::cuda_sim::shuffle_value(mezzo::cuda_sim::ShuffleKind::kXor, mask, value, lane_mask, width, where);
}

inline unsigned int __ballot_sync(unsigned int mask, int predicate,
                                  const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current()) {
    return mezzo::cuda_sim::vote(mezzo::cuda_sim::VoteKind::kBallot, mask, predicate != 0, where);
}

inline int __any_sync(unsigned int mask, int predicate,
                      const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current()) {
    return static_cast<int>(mezzo::cuda_sim::vote(mezzo::cuda_sim::VoteKind::kAny, mask, predicate != 0, where));
}

inline int __all_sync(unsigned int mask, int predicate,
                      const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current()) {
    return static_cast<int>(mezzo::cuda_sim::vote(mezzo::cuda_sim::VoteKind::kAll, mask, predicate != 0, where));
}

// Each reduction exists for unsigned and, where CUDA has it, for signed numbers.
#define CUDA_SIM_REDUCE(name, type, kind)                                                                           \
    inline type name(unsigned int mask, type value,                                                                 \
                     const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current()) {                     \
        return static_cast<type>(                                                                                   \
            mezzo::cuda_sim::reduce(mezzo::cuda_sim::ReduceKind::kind, mask, static_cast<uint32_t>(value), where)); \
    }

CUDA_SIM_REDUCE(__reduce_add_sync, unsigned int, kAdd)
CUDA_SIM_REDUCE(__reduce_add_sync, int, kAdd)
CUDA_SIM_REDUCE(__reduce_min_sync, unsigned int, kMin)
CUDA_SIM_REDUCE(__reduce_min_sync, int, kMinSigned)
CUDA_SIM_REDUCE(__reduce_max_sync, unsigned int, kMax)
CUDA_SIM_REDUCE(__reduce_max_sync, int, kMaxSigned)
CUDA_SIM_REDUCE(__reduce_and_sync, unsigned int, kAnd)
CUDA_SIM_REDUCE(__reduce_or_sync, unsigned int, kOr)
CUDA_SIM_REDUCE(__reduce_xor_sync, unsigned int, kXor)

#undef CUDA_SIM_REDUCE

void __syncwarp(unsigned int mask = 0xffffffffu,
                const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current());
