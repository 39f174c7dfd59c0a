// SPDX-License-Identifier: MIT
// Copies in flight. Each is done at a random moment between its issue and the wait that covers it, and reads its
// source only then: who reads the tile too early finds NaN or old data, who changes the source too early finds that.
#include "cuda_sim/ptx.h"

#include "block.h"

#include <cstring>
#include <vector>

namespace mezzo::cuda_sim {
namespace {

struct Copy {
    char *to;
    const char *from; // null: zeros
    int bytes;
    int group;
};

struct ThreadCopies {
    std::vector<Copy> pending;
    int committed; // groups
    bool busy;     // in the list below
};

/// Of each thread of the block; the vectors keep their room from block to block.
ThreadCopies copies[kMaxThreads];
/// The threads of this block that have copied.
std::vector<int> busy;

ThreadCopies &own_copies() {
    const int thread = block.warp_index * kWarpLanes + block.lane_index;
    ThreadCopies &own = copies[thread];
    if (!own.busy) {
        own.busy = true;
        busy.push_back(thread);
    }
    return own;
}

void arrive(const Copy &copy) {
    const auto bytes = static_cast<size_t>(copy.bytes);
    if (copy.from == nullptr) {
        std::memset(copy.to, 0, bytes);
    } else {
        std::memcpy(copy.to, copy.from, bytes);
    }
}

/// Does the pending copies that are chosen, in random order, and forgets them.
template <class Choice>
void arrive_if(ThreadCopies &thread, const Choice &is_chosen) {
    std::vector<Copy> &pending = thread.pending;
    for (size_t rest = pending.size(); rest > 0; --rest) {
        std::swap(pending[randomness.below(rest)], pending[rest - 1]);
        if (!is_chosen(pending[rest - 1])) continue;
        arrive(pending[rest - 1]);
        pending[rest - 1] = pending.back();
        pending.pop_back();
    }
}

bool is_aligned(const void *address, int bytes) {
    return reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(bytes) == 0;
}

} // namespace

void begin_copies() {
    for (const int thread : busy) {
        copies[thread].pending.clear();
        copies[thread].committed = 0;
        copies[thread].busy = false;
    }
    busy.clear();
}

void begin_copy(void *shared, const void *global, int bytes, bool in_range, const Where &where) {
    require_arch(80, "cp.async", where);
    const auto size = static_cast<size_t>(bytes);
    if (!is_shared(shared, size)) fail_thread(where, "cp_async to what is not the block's shared memory");
    if (in_range && is_shared(global, 1)) fail_thread(where, "cp_async from shared memory");
    if (!is_aligned(shared, bytes) || (in_range && !is_aligned(global, bytes))) {
        fail_thread(where, "cp_async of %d bytes that are not aligned to as many", bytes);
    }
    ThreadCopies &own = own_copies();
    const Copy copy = {static_cast<char *>(shared), in_range ? static_cast<const char *>(global) : nullptr, bytes,
                       own.committed};
    if (randomness.one_in(4)) {
        arrive(copy);
    } else {
        own.pending.push_back(copy);
    }
}

void commit_copies(const Where &where) {
    require_arch(80, "cp.async", where);
    ++own_copies().committed;
}

void wait_for_copies(int groups, const Where &where) {
    require_arch(80, "cp.async", where);
    ThreadCopies &own = own_copies();
    arrive_if(own, [&](const Copy &copy) { return copy.group < own.committed - groups; });
}

void advance_copies() {
    for (const int thread : busy) {
        arrive_if(copies[thread], [](const Copy &) { return randomness.one_in(4); });
    }
}

void finish_copies_of_thread() {
    if (busy.empty()) return;
    arrive_if(own_copies(), [](const Copy &) { return true; });
}

} // namespace mezzo::cuda_sim
