// SPDX-License-Identifier: MIT
// The memory of a device: a range of addresses reserved once, in which allocations are placed.
//
// Only kernels and copies may touch it. At all other times it is protected, so that host code which follows a device
// pointer faults. Memory that is not given out holds NaN, and under AddressSanitizer is out of bounds.
#pragma once

#include "access.h"
#include "virtual_memory.h"

#include <cstddef>
#include <cstdint>
#include <map>

namespace mezzo::cuda_sim {

enum class AllocationState {
    kLive,
    kFreePending, // cudaFreeAsync() has been called, the stream has not come to it
    kReserved,    // of a graph that is not running
};

struct Allocation {
    size_t bytes;       // as asked for
    size_t block_bytes; // with the margin behind it
    AllocationState state;
    bool owned_by_graph;
    uint16_t margin_word; // that the margin is filled with
};

class Arena {
  public:
    explicit Arena(size_t bytes);
    ~Arena();
    Arena(const Arena &) = delete;
    Arena &operator=(const Arena &) = delete;

    /// Lets this thread touch the memory, or forbids it.
    void open() { access_.open(); }
    void close() { access_.close(); }

    /// Null when there is no room.
    void *allocate(size_t bytes, AllocationState state);
    /// Ends an allocation. False when something was written into the margin behind it.
    bool release(void *pointer);

    /// Makes an allocation live, its contents NaN, or takes its contents away without giving up its place. False as
    /// release().
    void activate(void *pointer);
    bool deactivate(void *pointer);

    /// The allocation that begins here, or null.
    Allocation *find(const void *pointer);
    /// The allocation that holds all these bytes, or null; one without a size for what is mapped.
    const Allocation *holding(const void *pointer, size_t bytes) const;

    bool covers(const void *pointer) const;
    size_t bytes_to_close() const { return access_.bytes_to_close(); }
    size_t total_bytes() const { return total_bytes_; }
    size_t used_bytes() const { return used_bytes_ + virtual_memory_.created_bytes(); }

    /// What is mapped, which is opened and closed with the rest.
    VirtualMemory &virtual_memory() { return virtual_memory_; }

  private:
    bool is_placed(const void *pointer) const;
    size_t offset_of(const void *pointer) const;
    void *place(size_t block_bytes);
    void extend(size_t bytes);
    void add_hole(size_t begin, size_t end);

    char *base_;
    size_t total_bytes_;
    size_t reserved_bytes_;
    size_t touched_bytes_ = 0; // from the base, ever given out
    size_t used_bytes_ = 0;
    uint16_t next_margin_ = 0;
    std::map<size_t, Allocation> allocations_; // by offset
    std::map<size_t, size_t> holes_;           // below touched_bytes_: bytes by offset
    Access access_;
    VirtualMemory virtual_memory_{access_};
};

} // namespace mezzo::cuda_sim
