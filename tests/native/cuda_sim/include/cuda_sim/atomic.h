// SPDX-License-Identifier: MIT
// Atomic operations. One simulated thread runs at a time, so a plain read and write are one step; now and then
// another thread goes first, as it might on a device.
#pragma once

#include "cuda_sim/thread.h"

namespace mezzo::cuda_sim {

template <class T, class Change>
T change_atomically(T *address, Change change) {
    maybe_yield();
    const T old = *address;
    *address = change(old);
    return old;
}

} // namespace mezzo::cuda_sim

#define CUDA_SIM_ATOMIC(name, type, expression)                                                                       \
    inline type name(type *address, type value) {                                                                     \
        return mezzo::cuda_sim::change_atomically(address,                                                            \
                                                  [value]([[maybe_unused]] type old) -> type { return expression; }); \
    }

// Signed sums wrap around, as in two's complement.
CUDA_SIM_ATOMIC(atomicAdd, int, static_cast<int>(static_cast<unsigned int>(old) + static_cast<unsigned int>(value)))
CUDA_SIM_ATOMIC(atomicAdd, unsigned int, old + value)
CUDA_SIM_ATOMIC(atomicAdd, unsigned long long, old + value)
CUDA_SIM_ATOMIC(atomicAdd, float, old + value)
CUDA_SIM_ATOMIC(atomicAdd, double, old + value)

#define CUDA_SIM_INTEGER_ATOMICS(type)                                                                             \
    CUDA_SIM_ATOMIC(atomicOr, type, old | value)                                                                   \
    CUDA_SIM_ATOMIC(atomicAnd, type, old &value)                                                                   \
    CUDA_SIM_ATOMIC(atomicXor, type, old ^ value)                                                                  \
    CUDA_SIM_ATOMIC(atomicMax, type, old > value ? old : value)                                                    \
    CUDA_SIM_ATOMIC(atomicMin, type, old < value ? old : value)                                                    \
    CUDA_SIM_ATOMIC(atomicExch, type, value)                                                                       \
    inline type atomicCAS(type *address, type compare, type value) {                                               \
        return mezzo::cuda_sim::change_atomically(address,                                                         \
                                                  [=](type old) -> type { return old == compare ? value : old; }); \
    }

CUDA_SIM_INTEGER_ATOMICS(int)
CUDA_SIM_INTEGER_ATOMICS(unsigned int)
CUDA_SIM_INTEGER_ATOMICS(unsigned long long)
CUDA_SIM_ATOMIC(atomicExch, float, value)

#undef CUDA_SIM_INTEGER_ATOMICS
#undef CUDA_SIM_ATOMIC
