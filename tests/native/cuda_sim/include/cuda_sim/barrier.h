// SPDX-License-Identifier: MIT
// Barriers of a block. Threads that have exited are not waited for.
#pragma once

#include "cuda_sim/thread.h"

inline void __syncthreads(const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current()) {
    mezzo::cuda_sim::sync_threads(mezzo::cuda_sim::BarrierKind::kPlain, 0, where);
}

inline int __syncthreads_or(int predicate, const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current()) {
    return mezzo::cuda_sim::sync_threads(mezzo::cuda_sim::BarrierKind::kOr, predicate, where);
}

inline int __syncthreads_and(int predicate, const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current()) {
    return mezzo::cuda_sim::sync_threads(mezzo::cuda_sim::BarrierKind::kAnd, predicate, where);
}

inline int __syncthreads_count(int predicate, const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current()) {
    return mezzo::cuda_sim::sync_threads(mezzo::cuda_sim::BarrierKind::kCount, predicate, where);
}

// Memory is consistent here by itself; a fence only gives other threads a chance to show that it was needed.
inline void __threadfence_block() {
    mezzo::cuda_sim::maybe_yield();
}

inline void __threadfence() {
    mezzo::cuda_sim::maybe_yield();
}
