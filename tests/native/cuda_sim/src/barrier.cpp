// SPDX-License-Identifier: MIT
// Barriers of a block: phases counted in threads.
#include "block.h"

namespace mezzo::cuda_sim {
namespace {

constexpr const char *kNames[] = {"__syncthreads", "__syncthreads_or", "__syncthreads_and", "__syncthreads_count"};

/// Threads counted at a named barrier: the hardware counts warps, with or without the lanes that have exited, and a
/// warp comes when all the others of it have come.
int arrived_in_warps(const Barrier &barrier) {
    int threads = 0;
    for (int i = 0; i < block.warps; ++i) {
        const Warp &warp = block.warp[i];
        const uint32_t missing = warp.existing & ~warp.exited & ~barrier.arrived_lanes[i];
        if (barrier.arrived_lanes[i] != 0 && missing == 0) threads += kWarpLanes;
    }
    return threads;
}

bool is_complete(const Barrier &barrier) {
    return barrier.expected == kAllThreads ? barrier.arrived == block.live
                                           : arrived_in_warps(barrier) == barrier.expected;
}

void complete(int id) {
    Barrier &barrier = block.barrier[id];
    block.busy_barriers &= ~(1u << id);
    switch (barrier.kind) {
        case BarrierKind::kPlain:
            break;
        case BarrierKind::kOr:
            barrier.result = barrier.trues != 0;
            break;
        case BarrierKind::kAnd:
            barrier.result = barrier.trues == barrier.arrived;
            break;
        case BarrierKind::kCount:
            barrier.result = barrier.trues;
            break;
    }
    barrier.arrived = 0;
    barrier.expected = 0;
    barrier.trues = 0;
    for (int warp = 0; warp < block.warps; ++warp) {
        barrier.arrived_lanes[warp] = 0;
        if (barrier.waiting[warp] == 0) continue;
        make_ready(warp, barrier.waiting[warp]);
        barrier.waiting[warp] = 0;
    }
    advance_copies();
}

/// The lanes of a warp take a barrier together: CUDA leaves it undefined when they come from different places.
void check_convergence(const Barrier &barrier, const char *name, const Where &where) {
    const uint32_t present = barrier.waiting[block.warp_index];
    if (present == 0) return;
    const int other = __builtin_ctz(present);
    const Lane &peer = block.current_warp().lanes[other];
    if (peer.where.line() == where.line() && peer.waits_in == name) return;
    fail_thread(where, "%s: lane %d of the warp waits in another %s, at %s:%u", name, other, peer.waits_in,
                peer.where.file_name(), peer.where.line());
}

void arrive(int id, int expected, BarrierKind kind, const char *name, const Where &where) {
    Barrier &barrier = block.barrier[id];
    block.busy_barriers |= 1u << id;
    if (barrier.arrived == 0) {
        barrier.expected = expected;
        barrier.kind = kind;
    } else if (barrier.expected != expected || barrier.kind != kind) {
        fail_thread(where, "%s at barrier %d, where threads wait with another count or kind", name, id);
    }
    const uint32_t lane = 1u << block.lane_index;
    uint32_t &lanes = barrier.arrived_lanes[block.warp_index];
    if ((lanes & lane) != 0) fail_thread(where, "%s at barrier %d by a thread that has arrived already", name, id);
    lanes |= lane;
    ++barrier.arrived;
}

} // namespace

int sync_threads(BarrierKind kind, int predicate, const Where &where) {
    const char *name = kNames[static_cast<int>(kind)];
    Barrier &barrier = block.barrier[0];
    check_convergence(barrier, name, where);
    arrive(0, kAllThreads, kind, name, where);
    if (predicate != 0) ++barrier.trues;
    set_waiting(name, where);
    block.current_lane().barrier = 0;
    barrier.waiting[block.warp_index] |= 1u << block.lane_index;
    if (is_complete(barrier)) complete(0);
    take_turns();
    // Valid until the next phase completes, which this thread takes part in.
    return barrier.result;
}

void sync_named(int id, int threads, bool wait, const Where &where) {
    const char *name = wait ? "barrier_sync" : "barrier_arrive";
    if (id < 0 || id >= kNamedBarriers) {
        fail_thread(where, "%s of barrier %d, expected 0 to 15", name, id);
    }
    if (threads <= 0 || threads % kWarpLanes != 0 || threads > kMaxThreads) {
        fail_thread(where, "%s with %d threads, expected a multiple of 32 up to 1024", name, threads);
    }
    Barrier &barrier = block.barrier[id];
    check_convergence(barrier, name, where);
    arrive(id, threads, BarrierKind::kPlain, name, where);
    if (wait) {
        set_waiting(name, where);
        block.current_lane().barrier = id;
        barrier.waiting[block.warp_index] |= 1u << block.lane_index;
    }
    if (is_complete(barrier)) complete(id);
    if (wait) take_turns();
}

void barrier_after_exit() {
    for (uint32_t rest = block.busy_barriers; rest != 0; rest &= rest - 1) {
        const int id = __builtin_ctz(rest);
        if (is_complete(block.barrier[id])) complete(id);
    }
}

} // namespace mezzo::cuda_sim
