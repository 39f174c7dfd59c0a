// SPDX-License-Identifier: MIT
#include "core/memory_pool.h"

#include "core/memory.h"

#include <iterator>
#include <utility>

namespace mezzo {

void *MemoryPool::take(int64_t rounded) {
    const int64_t grown = growth(rounded);
    void *block = take_block(rounded);
    if (block == nullptr) return nullptr;
    bytes_ += grown;
    used_bytes_ += rounded;
    return block;
}

void MemoryPool::release(void *block, int64_t rounded) noexcept {
    used_bytes_ -= rounded;
    try {
        is_dropped_ ? give_back_block(block, rounded) : rest_block(block, rounded);
    } catch (...) { // no memory to remember it by: nobody has it until the pool goes
    }
}

void MemoryPool::drop() noexcept {
    is_dropped_ = true;
    give_back_resting();
}

bool RangePool::owns(const void *block) const {
    const auto address = reinterpret_cast<uintptr_t>(block);
    const auto base = reinterpret_cast<uintptr_t>(range_->base());
    return address >= base && address - base < static_cast<uintptr_t>(range_->bytes());
}

/// The offset for the tensor that comes next.
int64_t RangePool::place(int64_t rounded) {
    const size_t index = tensors_.size();
    if (plan_ != nullptr && (index >= plan_->bytes.size() || plan_->bytes[index] != rounded)) plan_ = nullptr;
    // Tensors may come and go at other times than those of the plan.
    if (plan_ != nullptr && layout_.is_free(plan_->offsets[index], rounded)) return plan_->offsets[index];
    return layout_.find(rounded);
}

int64_t RangePool::growth(int64_t rounded) {
    if (rounded > range_->bytes()) return rounded; // and no sum of offsets overflows
    return layout_.end_with(place(rounded), rounded) - layout_.end();
}

void *RangePool::take_block(int64_t rounded) {
    if (rounded > range_->bytes()) return nullptr;
    const int64_t offset = place(rounded);
    if (!range_->back(layout_.end_with(offset, rounded))) return nullptr;
    tensors_.push_back({rounded, clock_});
    try {
        index_at_[offset] = tensors_.size() - 1;
        layout_.take(offset, rounded);
    } catch (...) {
        index_at_.erase(offset);
        tensors_.pop_back();
        throw;
    }
    ++clock_;
    return range_->base() + offset;
}

void RangePool::rest_block(void *block, int64_t rounded) {
    const int64_t offset = offset_of(block);
    const auto index = index_at_.find(offset);
    tensors_[index->second].died = clock_++;
    index_at_.erase(index);
    layout_.release(offset, rounded);
}

void RangePool::give_back_resting() noexcept {
    if (!is_in_use()) {
        range_ = nullptr;
        return;
    }
    for (const auto &[offset, bytes] : layout_.free_parts()) {
        source_.on_rest(range_->base() + offset, bytes);
        discard(offset, bytes);
    }
    discard(layout_.end(), 0);
}

void RangePool::give_back_block(void *block, int64_t rounded) {
    if (!is_in_use()) {
        range_ = nullptr;
        return;
    }
    source_.on_rest(block, rounded);
    const int64_t offset = offset_of(block);
    layout_.release(offset, rounded);
    const auto part = std::prev(layout_.free_parts().upper_bound(offset));
    discard(part->first, part->second);
}

/// Gives back what lies in a free part. One at the end reaches to that of the range.
void RangePool::discard(int64_t offset, int64_t bytes) noexcept {
    const int64_t end = offset + bytes;
    range_->discard(offset, end == layout_.end() ? range_->bytes() : end);
}

int64_t BlockPool::growth(int64_t rounded) {
    const auto resting = resting_.find(rounded);
    return resting == resting_.end() || resting->second.empty() ? rounded : 0;
}

void *BlockPool::take_block(int64_t rounded) {
    std::vector<void *> &resting = resting_[rounded];
    if (!resting.empty()) {
        void *block = resting.back();
        resting.pop_back();
        return block;
    }
    void *block = source_.allocate_block(rounded);
    try {
        if (block != nullptr) blocks_.insert(block);
    } catch (...) {
        source_.free_block(block, rounded);
        throw;
    }
    return block;
}

void BlockPool::give_back_resting() noexcept {
    for (const auto &[bytes, blocks] : resting_) {
        for (void *block : blocks) source_.free_block(block, bytes);
    }
    resting_.clear();
}

void BlockPool::give_back_block(void *block, int64_t rounded) {
    source_.free_block(block, rounded);
}

std::shared_ptr<MemoryPool> make_pool(MemorySource &source, const LayoutPlans &plans) {
    if (std::unique_ptr<MemoryRange> range = source.reserve_range(); range != nullptr) {
        return std::make_shared<RangePool>(source, std::move(range), plans.expected());
    }
    return std::make_shared<BlockPool>(source);
}

} // namespace mezzo
