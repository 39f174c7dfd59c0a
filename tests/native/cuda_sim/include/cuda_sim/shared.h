// SPDX-License-Identifier: MIT
// Shared memory of the running block; MEZZO_SHARED and MEZZO_DYNAMIC_SHARED (device/kernel.cuh) end here.
#pragma once

#include "cuda_sim/thread.h"

#include <type_traits>

namespace mezzo::cuda_sim {

/// The storage of one declaration in the running block. The first thread that comes by gets it made, filled with
/// 0xff bytes: NaN in every floating type.
void *shared_storage(const void *declaration, size_t bytes, size_t alignment, const Where &where);

/// The dynamic shared memory of the running block, 128-byte aligned.
void *dynamic_shared_storage();

/// `Declaration` is the type of a lambda written where the array is declared: it tells declarations apart.
template <class T, class Declaration>
T &shared(Declaration, const Where &where = Where::current()) {
    static_assert(std::is_trivially_destructible_v<T>, "shared memory is not constructed");
    static char declaration;
    return *static_cast<T *>(shared_storage(&declaration, sizeof(T), alignof(T), where));
}

} // namespace mezzo::cuda_sim
