// SPDX-License-Identifier: MIT
// What the device functions of this folder ask of the scheduler (src/block.cpp) on behalf of the running thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>

namespace mezzo::cuda_sim {

inline constexpr int kWarpLanes = 32;
inline constexpr int kMaxWarps = 32;

/// The line of a kernel that called a primitive, taken by default arguments, for the reports of errors.
using Where = std::source_location;

/// The lanes of a warp that have met in a collective, and what each brought along.
struct Meeting {
    uint32_t mask;
    void *arguments[kWarpLanes];

    template <class Arguments>
    Arguments &of(int lane) const {
        return *static_cast<Arguments *>(arguments[lane]);
    }
};

/// A warp-wide operation: run once, by the lane that arrives last, for all lanes of the mask.
struct Collective {
    const char *name;
    void (*run)(const Meeting &meeting);
};

/// Waits until all lanes of `mask` have come with the same collective and mask, and it has been run.
void meet(const Collective &collective, uint32_t mask, void *arguments, const Where &where);

/// The same for instructions that the whole warp must execute.
void meet_whole_warp(const Collective &collective, void *arguments, const Where &where);

/// Lets other threads go first, now and then: called where the hardware would show other threads' progress.
void maybe_yield();

/// What a barrier does with the values that the threads bring.
enum class BarrierKind {
    kPlain,
    kOr,
    kAnd,
    kCount
};

/// Barrier 0 with all threads that have not exited. Answers the combined predicate.
int sync_threads(BarrierKind kind, int predicate, const Where &where);

/// Barrier `id` with a given number of threads; without `wait`, arrives only.
void sync_named(int id, int threads, bool wait, const Where &where);

/// Fails the launch: the running block is abandoned, its error sticks to the device.
[[noreturn]] void fail_thread(const Where &where, const char *format, ...) __attribute__((format(printf, 2, 3)));

/// Fails the launch unless the simulated device has at least this compute capability, as in 80.
void require_arch(int arch, const char *what, const Where &where);

/// Lane of the running thread within its warp.
int lane_index();

} // namespace mezzo::cuda_sim
