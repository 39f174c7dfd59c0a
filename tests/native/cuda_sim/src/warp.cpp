// SPDX-License-Identifier: MIT
// How the lanes of a warp meet, and the collectives that only exchange registers.
#include "cuda_sim/warp.h"

#include "block.h"

namespace mezzo::cuda_sim {
namespace {

/// Calls `visit(lane)` for each lane of a mask.
template <class Visit>
void for_lanes(uint32_t mask, const Visit &visit) {
    for (; mask != 0; mask &= mask - 1) visit(__builtin_ctz(mask));
}

[[noreturn]] void report_mismatch(const Lane &other, int other_lane, const Where &where) {
    const Lane &lane = block.current_lane();
    fail_thread(where,
                "lanes of one warp are in different collectives: lane %d in %s(0x%08x), lane %d in %s(0x%08x) at %s:%u",
                block.lane_index, lane.collective->name, lane.mask, other_lane, other.collective->name, other.mask,
                other.where.file_name(), other.where.line());
}

} // namespace

void meet(const Collective &collective, uint32_t mask, void *arguments, const Where &where) {
    const int warp_index = block.warp_index;
    Warp &warp = block.warp[warp_index];
    const int own = block.lane_index;
    Lane &lane = warp.lanes[own];
    lane.waits_in = collective.name;
    lane.where = where;
    lane.collective = &collective;
    lane.mask = mask;
    lane.barrier = -1;
    warp.meeting.arguments[own] = arguments;
    if ((mask >> own & 1) == 0) {
        fail_thread(where, "%s by a lane that its mask 0x%08x leaves out", collective.name, mask);
    }
    // Lanes beyond the block's end are left out of a full mask, as on the hardware.
    const uint32_t expected = mask & warp.existing;
    if ((expected & warp.exited) != 0) {
        fail_thread(where, "%s waits for lane %d, which has exited", collective.name,
                    __builtin_ctz(expected & warp.exited));
    }
    const uint32_t present = expected & warp.collecting;
    if (present != 0) {
        const int other = __builtin_ctz(present);
        const Lane &peer = warp.lanes[other];
        if (peer.collective != &collective || peer.mask != mask) report_mismatch(peer, other, where);
    }
    warp.collecting |= 1u << own;
    if ((expected & ~warp.collecting) != 0) {
        take_turns();
        return;
    }
    for_lanes(expected, [&](int other) {
        const Lane &peer = warp.lanes[other];
        if (peer.collective != &collective || peer.mask != mask) report_mismatch(peer, other, where);
    });
    warp.meeting.mask = expected;
    collective.run(warp.meeting);
    warp.collecting &= ~expected;
    make_ready(warp_index, expected);
    take_turns();
}

void meet_whole_warp(const Collective &collective, void *arguments, const Where &where) {
    if (block.current_warp().existing != ~0u) {
        fail_thread(where, "%s needs a whole warp, the block ends within this one", collective.name);
    }
    meet(collective, ~0u, arguments, where);
}

void check_collectives_at_exit() {
    const Warp &warp = block.current_warp();
    for_lanes(warp.collecting, [&](int other) {
        const Lane &peer = warp.lanes[other];
        if ((peer.mask >> block.lane_index & 1) == 0) return;
        fail_thread(peer.where, "lane %d exits while lane %d waits for it in %s(0x%08x)", block.lane_index, other,
                    peer.collective->name, peer.mask);
    });
}

namespace {

// What CUDA leaves undefined reads as NaN.
constexpr uint64_t kUndefined = ~uint64_t{0};

/// Lane that `lane` reads, or -1 to keep its own value. Segments of `width` lanes shuffle on their own.
/// Source: PTX manual, shfl.sync; CUDA C++ Programming Guide, "Warp Shuffle Functions".
int source_lane(ShuffleKind kind, int lane, int operand, int width) {
    const int first = lane & ~(width - 1);
    switch (kind) {
        case ShuffleKind::kIndex:
            return first | (operand & (width - 1));
        case ShuffleKind::kUp:
            return lane - operand >= first ? lane - operand : -1;
        case ShuffleKind::kDown:
            return lane + operand < first + width ? lane + operand : -1;
        case ShuffleKind::kXor:
            // Earlier segments can be read, later ones cannot.
            return (lane ^ operand) < first + width ? lane ^ operand : -1;
    }
    return -1;
}

template <ShuffleKind kind>
void run_shuffle(const Meeting &meeting) {
    uint64_t values[kWarpLanes];
    for_lanes(meeting.mask, [&](int lane) { values[lane] = meeting.of<ShuffleArguments>(lane).value; });
    for_lanes(meeting.mask, [&](int lane) {
        auto &arguments = meeting.of<ShuffleArguments>(lane);
        const int source = source_lane(kind, lane, arguments.operand, arguments.width);
        if (source < 0) return;
        arguments.value = (meeting.mask >> source & 1) != 0 ? values[source] : kUndefined;
    });
}

constexpr Collective kShuffles[] = {
    {"__shfl_sync", run_shuffle<ShuffleKind::kIndex>},
    {"__shfl_up_sync", run_shuffle<ShuffleKind::kUp>},
    {"__shfl_down_sync", run_shuffle<ShuffleKind::kDown>},
    {"__shfl_xor_sync", run_shuffle<ShuffleKind::kXor>},
};

struct VoteArguments {
    bool predicate;
    uint32_t result;
};

template <VoteKind kind>
void run_vote(const Meeting &meeting) {
    uint32_t ballot = 0;
    for_lanes(meeting.mask, [&](int lane) {
        if (meeting.of<VoteArguments>(lane).predicate) ballot |= 1u << lane;
    });
    const uint32_t result = kind == VoteKind::kBallot ? ballot
                            : kind == VoteKind::kAny  ? ballot != 0
                                                      : ballot == meeting.mask;
    for_lanes(meeting.mask, [&](int lane) { meeting.of<VoteArguments>(lane).result = result; });
}

constexpr Collective kVotes[] = {
    {"__ballot_sync", run_vote<VoteKind::kBallot>},
    {"__any_sync", run_vote<VoteKind::kAny>},
    {"__all_sync", run_vote<VoteKind::kAll>},
};

template <ReduceKind kind>
uint32_t combine(uint32_t a, uint32_t b) {
    switch (kind) {
        case ReduceKind::kAdd:
            return a + b;
        case ReduceKind::kMin:
            return a < b ? a : b;
        case ReduceKind::kMax:
            return a > b ? a : b;
        case ReduceKind::kMinSigned:
            return static_cast<int32_t>(a) < static_cast<int32_t>(b) ? a : b;
        case ReduceKind::kMaxSigned:
            return static_cast<int32_t>(a) > static_cast<int32_t>(b) ? a : b;
        case ReduceKind::kAnd:
            return a & b;
        case ReduceKind::kOr:
            return a | b;
        case ReduceKind::kXor:
            return a ^ b;
    }
    return 0;
}

template <ReduceKind kind>
void run_reduce(const Meeting &meeting) {
    const int first = __builtin_ctz(meeting.mask);
    uint32_t result = meeting.of<uint32_t>(first);
    for_lanes(meeting.mask & (meeting.mask - 1),
              [&](int lane) { result = combine<kind>(result, meeting.of<uint32_t>(lane)); });
    for_lanes(meeting.mask, [&](int lane) { meeting.of<uint32_t>(lane) = result; });
}

// The signed and the unsigned form of an operation do not meet, as they are different instructions.
constexpr Collective kReductions[] = {
    {"__reduce_add_sync", run_reduce<ReduceKind::kAdd>},
    {"__reduce_min_sync", run_reduce<ReduceKind::kMin>},
    {"__reduce_max_sync", run_reduce<ReduceKind::kMax>},
    {"__reduce_min_sync (signed)", run_reduce<ReduceKind::kMinSigned>},
    {"__reduce_max_sync (signed)", run_reduce<ReduceKind::kMaxSigned>},
    {"__reduce_and_sync", run_reduce<ReduceKind::kAnd>},
    {"__reduce_or_sync", run_reduce<ReduceKind::kOr>},
    {"__reduce_xor_sync", run_reduce<ReduceKind::kXor>},
};

constexpr Collective kSyncWarp = {"__syncwarp", [](const Meeting &) {}};

} // namespace

uint64_t shuffle(ShuffleKind kind, uint32_t mask, uint64_t value, int operand, int width, const Where &where) {
    const Collective &collective = kShuffles[static_cast<int>(kind)];
    if (width < 1 || width > kWarpLanes || (width & (width - 1)) != 0) {
        fail_thread(where, "%s with width %d, expected a power of two up to 32", collective.name, width);
    }
    ShuffleArguments arguments{value, operand & (kWarpLanes - 1), width};
    meet(collective, mask, &arguments, where);
    return arguments.value;
}

uint32_t vote(VoteKind kind, uint32_t mask, bool predicate, const Where &where) {
    VoteArguments arguments{predicate, 0};
    meet(kVotes[static_cast<int>(kind)], mask, &arguments, where);
    return arguments.result;
}

uint32_t reduce(ReduceKind kind, uint32_t mask, uint32_t value, const Where &where) {
    require_arch(80, kReductions[static_cast<int>(kind)].name, where);
    meet(kReductions[static_cast<int>(kind)], mask, &value, where);
    return value;
}

} // namespace mezzo::cuda_sim

void __syncwarp(unsigned int mask, const mezzo::cuda_sim::Where &where) {
    mezzo::cuda_sim::meet(mezzo::cuda_sim::kSyncWarp, mask, nullptr, where);
}
