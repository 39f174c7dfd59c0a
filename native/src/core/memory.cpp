// SPDX-License-Identifier: MIT
#include "core/memory.h"

#include "core/device.h"

#include <algorithm>
#include <limits>
#include <mutex>

namespace mezzo {
namespace {

[[noreturn]] void fail_bytes(int64_t bytes) {
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "%lld bytes were asked for, expected 1 to %lld", static_cast<long long>(bytes),
         static_cast<long long>(std::numeric_limits<int64_t>::max() - kMemoryAlignment));
}

int64_t round_up(int64_t bytes) {
    return (bytes + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
}

} // namespace

void *Allocator::allocate(int64_t bytes) {
    if (bytes < 1 || bytes > std::numeric_limits<int64_t>::max() - kMemoryAlignment) fail_bytes(bytes);
    const int64_t rounded = round_up(bytes);
    const std::lock_guard<ForkMutex> lock(mutex_);

    if (limit_ != 0 && rounded > limit_ - stats_.current_bytes) {
        fail(MEZZO_STATUS_OUT_OF_MEMORY, "%lld bytes were asked for, %lld are in use and the limit is %lld",
             static_cast<long long>(rounded), static_cast<long long>(stats_.current_bytes),
             static_cast<long long>(limit_));
    }
    void *block = take_cached(rounded);
    if (block == nullptr) {
        // Sizes that keep changing must not make the cache grow without end.
        if (stats_.cached_bytes > high_water_) trim_locked();
        block = source_.allocate_block(rounded);
    }
    if (block == nullptr && stats_.cached_bytes > 0) {
        trim_locked();
        block = source_.allocate_block(rounded);
    }
    if (block == nullptr) {
        fail(MEZZO_STATUS_OUT_OF_MEMORY, "%lld bytes were asked for, which the device does not have; %lld are in use",
             static_cast<long long>(rounded), static_cast<long long>(stats_.current_bytes));
    }
    source_.on_use(block, bytes, rounded);
    stats_.current_bytes += rounded;
    stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.current_bytes);
    high_water_ = std::max(high_water_, stats_.current_bytes);
    return block;
}

void *Allocator::take_cached(int64_t rounded) noexcept {
    const auto found = cache_.find(rounded);
    if (found == cache_.end() || found->second.empty()) return nullptr;
    void *block = found->second.back();
    found->second.pop_back();
    stats_.cached_bytes -= rounded;
    return block;
}

void Allocator::release(void *block, int64_t bytes) noexcept {
    const int64_t rounded = round_up(bytes);
    const std::lock_guard<ForkMutex> lock(mutex_);
    source_.on_rest(block, rounded);
    stats_.current_bytes -= rounded;
    try {
        cache_[rounded].push_back(block);
        stats_.cached_bytes += rounded;
    } catch (...) { // no memory to remember it by
        source_.free_block(block, rounded);
    }
}

void Allocator::trim_locked() noexcept {
    for (const auto &[bytes, blocks] : cache_) {
        for (void *block : blocks) source_.free_block(block, bytes);
    }
    cache_.clear();
    stats_.cached_bytes = 0;
}

void Allocator::trim() noexcept {
    const std::lock_guard<ForkMutex> lock(mutex_);
    trim_locked();
}

void Allocator::reset_peak() noexcept {
    const std::lock_guard<ForkMutex> lock(mutex_);
    stats_.peak_bytes = stats_.current_bytes;
}

void Allocator::set_limit(int64_t bytes) {
    if (bytes < 0) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "bytes is %lld, expected 0 (no limit) or more",
             static_cast<long long>(bytes));
    }
    const std::lock_guard<ForkMutex> lock(mutex_);
    limit_ = bytes;
}

void Allocator::count_tensors(int64_t change) noexcept {
    const std::lock_guard<ForkMutex> lock(mutex_);
    stats_.live_tensors += change;
}

mezzo_memory_stats Allocator::stats() const noexcept {
    const std::lock_guard<ForkMutex> lock(mutex_);
    return stats_;
}

} // namespace mezzo

mezzo_status mezzo_memory_stats_get(mezzo_memory_stats *out_stats, mezzo_device device) {
    using namespace mezzo;
    return guard("memory_stats_get", [&] {
        mezzo_memory_stats &stats = require_pointer(out_stats, "out_stats");
        stats = require_device(device).memory().stats();
    });
}

mezzo_status mezzo_memory_peak_reset(mezzo_device device) {
    using namespace mezzo;
    return guard("memory_peak_reset", [&] { require_device(device).memory().reset_peak(); });
}

mezzo_status mezzo_memory_trim(mezzo_device device) {
    using namespace mezzo;
    return guard("memory_trim", [&] { require_device(device).memory().trim(); });
}

mezzo_status mezzo_memory_limit_set(mezzo_device device, int64_t bytes) {
    using namespace mezzo;
    return guard("memory_limit_set", [&] { require_device(device).memory().set_limit(bytes); });
}
