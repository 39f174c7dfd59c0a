// SPDX-License-Identifier: MIT
#include "arena.h"

#include "sanitizer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

namespace mezzo::cuda_sim {
namespace {

constexpr size_t kAlignment = 256; // that cudaMalloc() promises
// Behind each allocation, holding NaN: what reads past the end gets NaN, what writes there is found out by release().
constexpr size_t kMarginBytes = 256;
// A margin is filled with one of the words 0xffc0 to 0xfffe, each a NaN in every floating type. Its neighbours have
// others, so that even a NaN copied from behind one end to behind another shows.
constexpr uint16_t kFirstMargin = 0xffc0;
constexpr uint16_t kMarginKinds = 63;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr int kPoison = 0xff;

/// Byte of a margin at an offset in its allocation, which begins at an even address.
char margin_byte(uint16_t word, size_t offset) {
    return static_cast<char>(offset % 2 == 0 ? word : word >> 8);
}

size_t round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

} // namespace

Arena::Arena(size_t bytes) : total_bytes_(bytes), reserved_bytes_(round_up(bytes + bytes / 4, kHugePage)) {
    // A quarter more addresses than memory, because margins and holes take some.
    void *memory =
        mmap(nullptr, reserved_bytes_ + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    // Aligned to huge pages, which make protecting it cheap where the system has them.
    const auto address = reinterpret_cast<uintptr_t>(memory);
    const size_t skipped = round_up(address, kHugePage) - address;
    base_ = static_cast<char *>(memory) + skipped;
    if (skipped != 0) munmap(memory, skipped);
    if (skipped != kHugePage) munmap(base_ + reserved_bytes_, kHugePage - skipped);
    madvise(base_, reserved_bytes_, MADV_HUGEPAGE);
}

Arena::~Arena() {
    sanitizer::permit(base_, touched_bytes_);
    munmap(base_, reserved_bytes_);
}

/// Begins to use `bytes` more addresses.
void Arena::extend(size_t bytes) {
    const size_t end = std::min(round_up(touched_bytes_ + bytes, kHugePage), reserved_bytes_);
    const size_t begin = std::exchange(touched_bytes_, end);
    access_.permit(base_ + begin, end - begin);
    sanitizer::forbid(base_ + begin, end - begin);
    add_hole(begin, end);
}

/// Notes a range without allocations, joined with its neighbours.
void Arena::add_hole(size_t begin, size_t end) {
    const auto next = holes_.find(end);
    if (next != holes_.end()) {
        end += next->second;
        holes_.erase(next);
    }
    auto previous = holes_.lower_bound(begin);
    if (previous != holes_.begin()) {
        --previous;
        if (previous->first + previous->second == begin) begin = previous->first;
    }
    holes_[begin] = end - begin;
}

/// Finds room by first fit, so that freed memory is soon used again.
void *Arena::place(size_t block_bytes) {
    for (auto hole = holes_.begin(); hole != holes_.end(); ++hole) {
        const auto [offset, bytes] = *hole;
        if (bytes < block_bytes) continue;
        holes_.erase(hole);
        if (bytes > block_bytes) holes_[offset + block_bytes] = bytes - block_bytes;
        return base_ + offset;
    }
    return nullptr;
}

void *Arena::allocate(size_t bytes, AllocationState state) {
    const size_t counted = round_up(bytes, kAlignment);
    if (bytes > total_bytes_ || counted > total_bytes_ - used_bytes()) return nullptr;
    const size_t block_bytes = counted + kMarginBytes;
    open();
    void *pointer = place(block_bytes);
    if (pointer == nullptr) {
        if (block_bytes > reserved_bytes_ - touched_bytes_) return nullptr;
        extend(block_bytes);
        pointer = place(block_bytes);
    }
    const auto margin = static_cast<uint16_t>(kFirstMargin + next_margin_++ % kMarginKinds);
    allocations_[offset_of(pointer)] = {bytes, block_bytes, state, false, margin};
    used_bytes_ += counted;
    sanitizer::permit(pointer, block_bytes);
    for (size_t i = bytes; i < block_bytes; ++i) static_cast<char *>(pointer)[i] = margin_byte(margin, i);
    sanitizer::forbid(pointer, block_bytes);
    if (state == AllocationState::kLive) activate(pointer);
    return pointer;
}

void Arena::activate(void *pointer) {
    open();
    Allocation &allocation = *find(pointer);
    allocation.state = AllocationState::kLive;
    sanitizer::permit(pointer, allocation.bytes);
    std::memset(pointer, kPoison, allocation.bytes);
}

bool Arena::deactivate(void *pointer) {
    open();
    Allocation &allocation = *find(pointer);
    allocation.state = AllocationState::kReserved;
    sanitizer::permit(pointer, allocation.block_bytes);
    const char *begin = static_cast<const char *>(pointer);
    bool intact = true;
    for (size_t i = allocation.bytes; i < allocation.block_bytes; ++i) {
        intact = intact && begin[i] == margin_byte(allocation.margin_word, i);
    }
    std::memset(pointer, kPoison, allocation.bytes);
    sanitizer::forbid(pointer, allocation.block_bytes);
    return intact;
}

bool Arena::release(void *pointer) {
    const bool intact = deactivate(pointer);
    const size_t offset = offset_of(pointer);
    const size_t block_bytes = allocations_.at(offset).block_bytes;
    allocations_.erase(offset);
    used_bytes_ -= block_bytes - kMarginBytes;
    add_hole(offset, offset + block_bytes);
    return intact;
}

Allocation *Arena::find(const void *pointer) {
    if (!is_placed(pointer)) return nullptr;
    const auto entry = allocations_.find(offset_of(pointer));
    return entry == allocations_.end() ? nullptr : &entry->second;
}

const Allocation *Arena::holding(const void *pointer, size_t bytes) const {
    static const Allocation kMapped = {0, 0, AllocationState::kLive, false, 0};
    if (virtual_memory_.holds(pointer, bytes)) return &kMapped;
    if (!is_placed(pointer)) return nullptr;
    const size_t offset = offset_of(pointer);
    auto entry = allocations_.upper_bound(offset);
    if (entry == allocations_.begin()) return nullptr;
    --entry;
    const size_t inside = offset - entry->first;
    const Allocation &allocation = entry->second;
    return inside <= allocation.bytes && bytes <= allocation.bytes - inside ? &allocation : nullptr;
}

bool Arena::covers(const void *pointer) const {
    return is_placed(pointer) || virtual_memory_.covers(pointer);
}

/// Whether an address is one of those that allocations are placed at.
bool Arena::is_placed(const void *pointer) const {
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    const auto begin = reinterpret_cast<uintptr_t>(base_);
    return address >= begin && address - begin < reserved_bytes_;
}

size_t Arena::offset_of(const void *pointer) const {
    return static_cast<size_t>(static_cast<const char *>(pointer) - base_);
}

} // namespace mezzo::cuda_sim
