// SPDX-License-Identifier: MIT
// The running block: its warps and lanes, and the scheduler that takes turns between them.
//
// Each thread of the block runs on a fiber until it must wait; then a lane that can go on is picked at random. There
// is one block at a time, and one operating system thread at a time (the runtime's mutex), so all of this is plain
// global state. The other rooms of a block: warp.cpp (collectives), barrier.cpp, shared.cpp, cp_async.cpp,
// ldmatrix.cpp, mma.cpp and report.cpp (what is printed when it fails).
#pragma once

#include "cuda_sim/index.h"
#include "cuda_sim/launch.h"
#include "cuda_sim/thread.h"

#include "fiber.h"
#include "random.h"

namespace mezzo::cuda_sim {

inline constexpr int kMaxThreads = 1024;
inline constexpr int kNamedBarriers = 16;

/// A launch as it is run.
struct Grid {
    Kernel kernel;
    dim3 grid;
    dim3 block;
    size_t shared_bytes;
    int arch;                // of the device, as in 90
    size_t shared_max_bytes; // that one block can have
};

struct Lane {
    Fiber *fiber;                 // null until the thread begins
    const char *waits_in;         // name of the primitive, null while the thread can go on
    const Collective *collective; // when it waits in one
    uint32_t mask;
    int barrier; // id when it waits in one, else -1
    Where where;
};

struct Warp {
    uint32_t existing;   // lanes that the block has
    uint32_t ready;      // not begun, or able to go on
    uint32_t exited;     // done
    uint32_t collecting; // waiting in a collective
    Meeting meeting;     // what the collecting lanes brought
    Lane lanes[kWarpLanes];
};

struct Barrier {
    int arrived;
    int expected; // threads, 0 until the first arrives; kAllThreads for those that have not exited
    BarrierKind kind;
    int trues;                         // predicates of the arrived threads that hold
    int result;                        // of the last completed phase
    uint32_t arrived_lanes[kMaxWarps]; // in this phase
    uint32_t waiting[kMaxWarps];       // those of them that wait
};

inline constexpr int kAllThreads = -1;

struct Block {
    const Grid *grid;
    uint3 index;
    int threads;
    int warps;
    int live;      // threads that have not exited
    int64_t polls; // chances given to other threads
    uint32_t ready_warps;
    int warp_index; // of the running thread
    int lane_index;
    cudaError_t error;
    Fiber host; // where the scheduler was entered
    Warp warp[kMaxWarps];
    Barrier barrier[kNamedBarriers];
    uint32_t busy_barriers; // where threads have arrived

    Warp &current_warp() { return warp[warp_index]; }
    Lane &current_lane() { return warp[warp_index].lanes[lane_index]; }
};

extern Block block;
extern constinit Random randomness;

/// Runs all blocks of a grid, in random order. Answers cudaErrorLaunchFailure when a thread or a rule fails.
cudaError_t run_grid(const Grid &grid);

/// Turns to a lane that can go on; returns when the running thread's turn comes again. The caller has put the running
/// thread either among the ready or among the waiting.
void take_turns();

inline void make_ready(int warp, uint32_t lanes) {
    block.warp[warp].ready |= lanes;
    block.ready_warps |= 1u << warp;
}

/// Notes where the running thread waits, for reports.
void set_waiting(const char *name, const Where &where);

/// Ends the block with a launch failure. The fibers are left as they are: their objects are not destroyed.
[[noreturn]] void abandon_block();

[[noreturn]] void report_deadlock();

/// Prints an error that is not a running thread's, with the seed.
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/// Lets AddressSanitizer's reports say which kernel, block and thread they are about.
void watch_for_sanitizer();

/// Barriers after the exit of a thread: those who wait need not wait for it.
void barrier_after_exit();

/// The collectives that wait for a thread when it exits will never be complete.
void check_collectives_at_exit();

// Shared memory (shared.cpp)
void begin_shared(const Grid &grid);
void refresh_shared();
void end_shared();
/// Whether the bytes lie in the block's shared memory.
bool is_shared(const void *address, size_t bytes);

// Copies in flight (cp_async.cpp)
void begin_copies();
void finish_copies_of_thread();
/// Some of the copies in flight arrive.
void advance_copies();

} // namespace mezzo::cuda_sim
