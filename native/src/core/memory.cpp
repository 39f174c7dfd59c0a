// SPDX-License-Identifier: MIT
#include "core/memory.h"

#include "core/device.h"
#include "core/memory_pool.h"
#include "core/thread_number.h"

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

/// A block of exactly this size, null when none rests there.
void *take_resting(BlocksBySize &resting, int64_t rounded) noexcept {
    const auto found = resting.find(rounded);
    if (found == resting.end() || found->second.empty()) return nullptr;
    void *block = found->second.back();
    found->second.pop_back();
    return block;
}

} // namespace

std::unique_ptr<MemoryRange> MemorySource::reserve_range() {
    return nullptr;
}

Allocator::Allocator(MemorySource &source) : source_(source), plans_(std::make_unique<LayoutPlans>()) {}

Allocator::~Allocator() {
    trim();
}

void *Allocator::allocate(int64_t bytes, bool is_scratch) {
    if (bytes < 1 || bytes > std::numeric_limits<int64_t>::max() - kMemoryAlignment) fail_bytes(bytes);
    const int64_t rounded = round_up(bytes);
    const std::lock_guard<ForkMutex> lock(mutex_);
    const std::shared_ptr<MemoryPool> pool = pool_in_use();
    int64_t growth = pool != nullptr ? pool->growth(rounded) : rounded;
    const auto is_beyond_limit = [&] { return limit_ != 0 && growth > limit_ - reserved_bytes(); };
    // The plan of a larger step, which begins with the same sizes.
    if (is_beyond_limit() && pool != nullptr && pool->forget_plan()) growth = pool->growth(rounded);
    if (is_beyond_limit()) {
        fail(MEZZO_STATUS_OUT_OF_MEMORY, "%lld bytes were asked for, %lld are in use and the limit is %lld",
             static_cast<long long>(rounded), static_cast<long long>(reserved_bytes()), static_cast<long long>(limit_));
    }
    void *block = pool != nullptr ? take_from(pool, rounded, growth) : take(rounded);
    if (block == nullptr && pool != nullptr && pool->forget_plan()) {
        block = take_from(pool, rounded, pool->growth(rounded));
    }
    if (block == nullptr) {
        fail(MEZZO_STATUS_OUT_OF_MEMORY, "%lld bytes were asked for, which %s; %s", static_cast<long long>(rounded),
             source_.lack(), usage_text_locked().c_str());
    }
    // A replay uses a graph's blocks again, whatever their owners at the time of the capture did.
    source_.on_use(block, pool != nullptr ? rounded : bytes, rounded, pool != nullptr);
    stats_.current_bytes += rounded;
    stats_.peak_bytes = std::max(stats_.peak_bytes, reserved_bytes());
    high_water_ = std::max(high_water_, stats_.current_bytes);
    if (rehearsal_ != nullptr && pool == nullptr && (!is_scratch || source_.captures_scratch())) {
        rehearsal_->note_taken(block, rounded);
    }
    most_held_ = std::max(most_held_, reserved_bytes() + stats_.cached_bytes);
    return block;
}

std::string Allocator::usage_text() const {
    const std::lock_guard<ForkMutex> lock(mutex_);
    return usage_text_locked();
}

std::string Allocator::usage_text_locked() const {
    const int64_t free = source_.free_bytes();
    return (free < 0 ? "" : std::to_string(free) + " are free, ") + std::to_string(reserved_bytes()) + " are in use";
}

/// The pool that the calling thread has entered, null for none.
std::shared_ptr<MemoryPool> Allocator::pool_in_use() const noexcept {
    return entered_ != nullptr && pool_thread_ == this_thread_number() ? entered_ : nullptr;
}

/// A block for anybody; null when there is none to be had.
void *Allocator::take(int64_t rounded) {
    void *block = take_resting(cache_, rounded);
    if (block == nullptr) return take_new(rounded);
    stats_.cached_bytes -= rounded;
    return block;
}

/// A block for a pool, which grows by `growth` for it; null when there is none to be had.
void *Allocator::take_from(const std::shared_ptr<MemoryPool> &pool, int64_t rounded, int64_t growth) {
    if (growth > 0) make_room(growth);
    void *block = pool->take(rounded);
    if (block == nullptr && stats_.cached_bytes > 0) {
        trim_locked();
        block = pool->take(rounded);
    }
    if (block == nullptr) return nullptr;
    stats_.graph_bytes += growth - rounded;
    try {
        pool_of_.emplace(block, pool);
    } catch (...) {
        stats_.graph_bytes += rounded;
        pool->release(block, rounded);
        throw;
    }
    return block;
}

/// What steps that ran op by op have left in the cache goes before pools make the process hold more than ever.
void Allocator::make_room(int64_t bytes) noexcept {
    while (stats_.cached_bytes > 0 && bytes > most_held_ - reserved_bytes() - stats_.cached_bytes) {
        BlocksBySize::value_type *largest = nullptr;
        for (auto &entry : cache_) {
            if (!entry.second.empty() && (largest == nullptr || entry.first > largest->first)) largest = &entry;
        }
        source_.free_block(largest->second.back(), largest->first);
        largest->second.pop_back();
        stats_.cached_bytes -= largest->first;
    }
}

void *Allocator::take_new(int64_t rounded) {
    // Sizes that keep changing must not make the cache grow without end.
    if (stats_.cached_bytes > high_water_) trim_locked();
    void *block = source_.allocate_block(rounded);
    if (block == nullptr && stats_.cached_bytes > 0) {
        trim_locked();
        block = source_.allocate_block(rounded);
    }
    return block;
}

void Allocator::release(void *block, int64_t bytes) noexcept {
    const int64_t rounded = round_up(bytes);
    const std::lock_guard<ForkMutex> lock(mutex_);
    stats_.current_bytes -= rounded;
    const auto pooled = pool_of_.find(block);
    if (pooled == pool_of_.end()) {
        if (rehearsal_ != nullptr) rehearsal_->note_released(block);
        source_.on_rest(block, rounded);
        rest_in_cache(block, rounded);
        return;
    }
    MemoryPool &pool = *pooled->second;
    stats_.graph_bytes -= pool.resting_bytes();
    pool.release(block, rounded);
    stats_.graph_bytes += pool.resting_bytes();
    pool_of_.erase(pooled);
}

void Allocator::rest_in_cache(void *block, int64_t rounded) noexcept {
    try {
        cache_[rounded].push_back(block);
        stats_.cached_bytes += rounded;
    } catch (...) { // no memory to remember it by
        source_.free_block(block, rounded);
    }
}

void Allocator::rehearse() {
    auto rehearsal = std::make_unique<Rehearsal>();
    const std::lock_guard<ForkMutex> lock(mutex_);
    end_rehearsal();
    rehearsal_ = std::move(rehearsal);
}

std::shared_ptr<MemoryPool> Allocator::enter_pool() {
    const std::lock_guard<ForkMutex> lock(mutex_);
    if (const std::vector<TensorLife> lives = end_rehearsal(); !lives.empty()) plans_->expect(lives);
    entered_ = make_pool(source_, *plans_);
    plans_->expect({});
    pool_thread_ = this_thread_number();
    return entered_;
}

/// Ends the calling thread's rehearsal, learns from it and returns it; empty when there is none.
std::vector<TensorLife> Allocator::end_rehearsal() {
    if (rehearsal_ == nullptr || !rehearsal_->is_by_this_thread()) return {};
    std::vector<TensorLife> lives = rehearsal_->lives();
    try {
        if (!lives.empty()) plans_->learn(lives, std::numeric_limits<int64_t>::max());
    } catch (...) { // no memory for a plan
        lives.clear();
    }
    rehearsal_ = nullptr;
    return lives;
}

void Allocator::leave_pool(bool finished) noexcept {
    const std::lock_guard<ForkMutex> lock(mutex_);
    try {
        if (finished) entered_->teach(*plans_);
    } catch (...) { // no memory for a plan
    }
    if (entered_ != nullptr) entered_->close();
    entered_ = nullptr;
}

void Allocator::drop_pool(MemoryPool &pool) noexcept {
    const std::lock_guard<ForkMutex> lock(mutex_);
    stats_.graph_bytes -= pool.resting_bytes();
    pool.expect(*plans_); // who gives up a graph captures the same again, more often than not
    pool.drop();
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
    stats_.peak_bytes = reserved_bytes();
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

int64_t Allocator::available_bytes() const {
    const int64_t free = std::max<int64_t>(0, source_.free_bytes());
    const std::lock_guard<ForkMutex> lock(mutex_);
    const int64_t available = free + stats_.cached_bytes;
    return limit_ == 0 ? available : std::clamp<int64_t>(limit_ - reserved_bytes(), 0, available);
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

mezzo_status mezzo_memory_available(int64_t *out_bytes, mezzo_device device) {
    using namespace mezzo;
    return guard("memory_available", [&] {
        int64_t &bytes = require_pointer(out_bytes, "out_bytes");
        bytes = require_device(device).memory().available_bytes();
    });
}

mezzo_status mezzo_memory_trim(mezzo_device device) {
    using namespace mezzo;
    return guard("memory_trim", [&] {
        Device &trimmed = require_device(device);
        trimmed.memory().trim();
        trimmed.host_memory().trim();
    });
}

mezzo_status mezzo_memory_limit_set(mezzo_device device, int64_t bytes) {
    using namespace mezzo;
    return guard("memory_limit_set", [&] { require_device(device).memory().set_limit(bytes); });
}
