// SPDX-License-Identifier: MIT
#include "block.h"

#include "sanitizer.h"

#include <cstdio>
#include <exception>
#include <numeric>

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace mezzo::cuda_sim {

Block block;
constinit Random randomness(0);

namespace {

/// Blocks 0 to count - 1 in an order that looks random: multiplication by a number coprime to the count.
class RandomOrder {
  public:
    explicit RandomOrder(uint64_t count) : count_(count), next_(randomness.below(count)) {
        do {
            step_ = 1 + randomness.below(count);
        } while (std::gcd(step_, count) != 1);
    }

    uint64_t next() {
        const uint64_t result = next_;
        next_ = (next_ + step_) % count_;
        return result;
    }

  private:
    uint64_t count_;
    uint64_t next_;
    uint64_t step_;
};

uint3 place_of(uint64_t index, const dim3 &extent) {
    if (extent.y == 1 && extent.z == 1) return {static_cast<unsigned int>(index), 0, 0};
    return {static_cast<unsigned int>(index % extent.x), static_cast<unsigned int>(index / extent.x % extent.y),
            static_cast<unsigned int>(index / extent.x / extent.y)};
}

/// Picks a lane that can go on and makes it the running one; false when there is none.
bool pick_lane() {
    if (block.ready_warps == 0) return false;
    const uint64_t bits = randomness.bits();
    // Mostly the same warp again: its lanes meet sooner, and their stacks are still in the cache.
    const bool stay = (bits & 7) != 0;
    int warp = block.warp_index;
    if (!stay || (block.ready_warps >> warp & 1) == 0) {
        warp = bit_from(block.ready_warps, static_cast<int>(bits >> 8 & 31));
    }
    Warp &chosen = block.warp[warp];
    const int lane = bit_from(chosen.ready, static_cast<int>(bits >> 16 & 31));
    chosen.ready &= ~(1u << lane);
    if (chosen.ready == 0) block.ready_warps &= ~(1u << warp);
    block.warp_index = warp;
    block.lane_index = lane;
    chosen.lanes[lane].waits_in = nullptr;
    const auto thread = static_cast<uint64_t>(warp * kWarpLanes + lane);
    threadIdx = place_of(thread, block.grid->block);
    return true;
}

void exit_thread() {
    Warp &warp = block.current_warp();
    warp.exited |= 1u << block.lane_index;
    --block.live;
    finish_copies_of_thread();
    if (warp.collecting != 0) check_collectives_at_exit();
    if (block.busy_barriers != 0) barrier_after_exit();
}

[[noreturn]] void run_threads();

FiberPool &pool() {
    static FiberPool &fibers = *new FiberPool(run_threads);
    return fibers;
}

/// Runs the current thread. Answers what it threw, null if nothing.
const char *run_thread() {
    static char text[256];
    const Kernel &kernel = block.grid->kernel;
    try {
        kernel.run_thread(kernel.arguments.get());
        return nullptr;
    } catch (const std::exception &error) {
        std::snprintf(text, sizeof text, "\"%s\"", error.what());
        return text;
    } catch (...) {
        return "an exception";
    }
}

/// What every fiber does: runs one thread after the other. A thread that never waits leaves its fiber at once to the
/// next one that has not begun, so a kernel without barriers takes no switch at all.
void run_threads() {
    for (;;) {
        // Outside of the handlers, which must be left before the fiber is.
        if (const char *thrown = run_thread()) fail_thread(Where(), "the kernel threw %s", thrown);
        Fiber &self = *block.current_lane().fiber;
        exit_thread();
        if (block.live == 0) {
            pool().give_back(self);
            switch_fiber(self, block.host);
            continue;
        }
        if (!pick_lane()) report_deadlock();
        Lane &next = block.current_lane();
        if (next.fiber == nullptr) {
            next.fiber = &self;
        } else {
            pool().give_back(self);
            switch_fiber(self, *next.fiber);
        }
    }
}

void begin_block(uint64_t index) {
    block.index = place_of(index, block.grid->grid);
    blockIdx = block.index;
    block.live = block.threads;
    block.polls = 0;
    block.ready_warps = block.warps == kMaxWarps ? ~0u : (1u << block.warps) - 1;
    for (int i = 0; i < block.warps; ++i) {
        Warp &warp = block.warp[i];
        warp.ready = warp.existing;
        warp.exited = 0;
        warp.collecting = 0;
        for (Lane &lane : warp.lanes) {
            lane.fiber = nullptr;
            lane.waits_in = nullptr;
        }
    }
    for (Barrier &barrier : block.barrier) barrier = {};
    block.busy_barriers = 0;
    begin_copies();
    refresh_shared();
}

bool run_block(uint64_t index) {
    begin_block(index);
    block.warp_index = static_cast<int>(randomness.below(static_cast<uint64_t>(block.warps)));
    pick_lane();
    Fiber &first = pool().take();
    block.current_lane().fiber = &first;
    switch_fiber(block.host, first);
    if (block.error == cudaSuccess) return true;
    pool().restart_used();
    return false;
}

} // namespace

cudaError_t run_grid(const Grid &grid) {
    block.grid = &grid;
    block.error = cudaSuccess;
    block.threads = static_cast<int>(grid.block.x * grid.block.y * grid.block.z);
    block.warps = (block.threads + kWarpLanes - 1) / kWarpLanes;
    for (int i = 0; i < block.warps; ++i) {
        const int lanes = block.threads - i * kWarpLanes;
        block.warp[i].existing = lanes >= kWarpLanes ? ~0u : (1u << lanes) - 1;
    }
    blockDim = grid.block;
    gridDim = grid.grid;
    begin_shared(grid);
    watch_for_sanitizer();
    const uint64_t blocks = uint64_t{grid.grid.x} * grid.grid.y * grid.grid.z;
    RandomOrder order(blocks);
    for (uint64_t i = 0; i < blocks; ++i) {
        if (!run_block(order.next())) break;
    }
    end_shared();
    block.grid = nullptr;
    return block.error;
}

void take_turns() {
    Fiber &self = *block.current_lane().fiber;
    if (!pick_lane()) report_deadlock();
    Lane &next = block.current_lane();
    if (next.fiber == nullptr) next.fiber = &pool().take();
    if (next.fiber != &self) switch_fiber(self, *next.fiber);
}

void maybe_yield() {
    // Blocks run one after the other, so one that waits for another would wait for ever.
    constexpr int64_t kMaxPolls = 20'000'000;
    if (++block.polls > kMaxPolls) fail_thread(Where(), "twenty million atomic operations: does it poll for ever?");
    if (!randomness.one_in(16)) return;
    make_ready(block.warp_index, 1u << block.lane_index);
    take_turns();
}

void set_waiting(const char *name, const Where &where) {
    Lane &lane = block.current_lane();
    lane.waits_in = name;
    lane.where = where;
    lane.collective = nullptr;
    lane.barrier = -1;
}

void abandon_block() {
    block.error = cudaErrorLaunchFailure;
    switch_fiber(*block.current_lane().fiber, block.host);
    __builtin_unreachable();
}

int lane_index() {
    return block.lane_index;
}

void require_arch(int arch, const char *what, const Where &where) {
    if (block.grid->arch >= arch) return;
    fail_thread(where, "%s needs compute capability %d.%d, the device has %d.%d", what, arch / 10, arch % 10,
                block.grid->arch / 10, block.grid->arch % 10);
}

} // namespace mezzo::cuda_sim
