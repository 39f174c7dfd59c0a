// SPDX-License-Identifier: MIT
#include "core/memory_layout.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <numeric>
#include <optional>
#include <random>
#include <utility>

namespace mezzo {
namespace {

constexpr size_t kMaxPlans = 4;         // as many steps as a trainer keeps graphs of
constexpr size_t kMaxTensors = 1 << 13; // planning takes time in the square of their number
constexpr size_t kMaxPasses = 256;
constexpr size_t kPatience = 4; // passes that may be worse before it goes on from the best
constexpr size_t kRounds = 4;
constexpr size_t kMaxWork = 1 << 22; // passes times that square

bool is_of_bytes(const TensorLife &tensor, int64_t bytes) {
    return tensor.bytes == bytes;
}

bool begins_with(const LayoutPlan &plan, const std::vector<TensorLife> &tensors) {
    return plan.bytes.size() >= tensors.size() &&
           std::equal(tensors.begin(), tensors.end(), plan.bytes.begin(), is_of_bytes);
}

/// Each tensor as low as those placed before it allow, and the one that ends last.
std::pair<LayoutPlan, size_t> place_in_order(const std::vector<TensorLife> &tensors, const std::vector<size_t> &order) {
    LayoutPlan plan;
    plan.offsets.resize(tensors.size());
    for (const TensorLife &tensor : tensors) plan.bytes.push_back(tensor.bytes);
    size_t highest = 0;
    std::vector<size_t> placed; // by their offset
    for (const size_t index : order) {
        const TensorLife &tensor = tensors[index];
        int64_t offset = 0;
        for (const size_t other : placed) {
            if (!tensor.overlaps(tensors[other])) continue;
            if (plan.offsets[other] >= offset + tensor.bytes) break;
            offset = std::max(offset, plan.offsets[other] + tensors[other].bytes);
        }
        plan.offsets[index] = offset;
        if (offset + tensor.bytes > plan.end) {
            plan.end = offset + tensor.bytes;
            highest = index;
        }
        placed.insert(std::upper_bound(placed.begin(), placed.end(), offset,
                                       [&](int64_t value, size_t other) { return value < plan.offsets[other]; }),
                      index);
    }
    return {std::move(plan), highest};
}

/// Orders to begin with: the largest first, of equal ones that which stays longest; and by bytes times life.
std::array<std::vector<size_t>, 2> first_orders(const std::vector<TensorLife> &tensors) {
    int64_t end = 0;
    for (const TensorLife &tensor : tensors) end = std::max(end, tensor.born + 1);
    std::array<std::vector<size_t>, 2> orders;
    for (std::vector<size_t> &order : orders) {
        order.resize(tensors.size());
        std::iota(order.begin(), order.end(), size_t{0});
    }
    const auto died = [&](size_t index) { return std::min(tensors[index].died, 2 * end); };
    const auto by = [&](const auto &key) { return [&key](size_t a, size_t b) { return key(a) > key(b); }; };
    const auto size = [&](size_t index) { return std::pair(tensors[index].bytes, died(index)); };
    const auto area = [&](size_t index) { return tensors[index].bytes * (died(index) - tensors[index].born); };
    std::stable_sort(orders[0].begin(), orders[0].end(), by(size));
    std::stable_sort(orders[1].begin(), orders[1].end(), by(area));
    return orders;
}

} // namespace

int64_t MemoryLayout::find(int64_t bytes) const {
    auto best = free_.end();
    for (auto part = free_.begin(); part != free_.end(); ++part) {
        if (part->second >= bytes && (best == free_.end() || part->second < best->second)) best = part;
    }
    if (best != free_.end()) return best->first;
    if (free_.empty()) return end_;
    const auto [offset, size] = *free_.rbegin();
    return offset + size == end_ ? offset : end_;
}

bool MemoryLayout::is_free(int64_t offset, int64_t bytes) const {
    if (offset >= end_) return true;
    auto part = free_.upper_bound(offset);
    if (part == free_.begin()) return false;
    --part;
    const int64_t part_end = part->first + part->second;
    return part_end > offset && (part_end == end_ || part_end >= offset + bytes);
}

void MemoryLayout::take(int64_t offset, int64_t bytes) {
    if (offset + bytes > end_) {
        release(end_, offset + bytes - end_); // with the gap before it, if there is one
        end_ = offset + bytes;
    }
    const auto part = std::prev(free_.upper_bound(offset));
    const auto [begin, size] = *part;
    const int64_t behind = begin + size - (offset + bytes);
    if (behind > 0) free_.emplace(offset + bytes, behind);
    if (offset > begin) {
        part->second = offset - begin;
    } else {
        free_.erase(part);
    }
}

void MemoryLayout::release(int64_t offset, int64_t bytes) {
    const auto next = free_.upper_bound(offset);
    const auto previous = next == free_.begin() ? free_.end() : std::prev(next);
    const bool joins_next = next != free_.end() && next->first == offset + bytes;
    if (joins_next) bytes += next->second;
    if (previous != free_.end() && previous->first + previous->second == offset) {
        previous->second += bytes;
    } else {
        free_.emplace_hint(next, offset, bytes);
    }
    if (joins_next) free_.erase(next);
}

LayoutPlan plan_layout(const std::vector<TensorLife> &tensors) {
    const int64_t least = live_peak(tensors);
    const size_t passes =
        std::clamp(kMaxWork / std::max(tensors.size() * tensors.size(), size_t{1}), size_t{1}, kMaxPasses);
    std::optional<LayoutPlan> best;
    std::minstd_rand random; // the same each time
    const auto first = first_orders(tensors);
    for (size_t round = 0; round < (passes > 1 ? kRounds : 1) * first.size(); ++round) {
        std::vector<size_t> order = first[round % first.size()];
        std::vector<size_t> best_order = order;
        int64_t end = std::numeric_limits<int64_t>::max(); // of this order
        for (size_t pass = 0; pass < passes; ++pass) {
            auto [plan, highest] = place_in_order(tensors, order);
            if (plan.end <= end) {
                end = plan.end;
                best_order = order;
                if (!best || end < best->end) best = std::move(plan);
                if (end <= least) return *best;
            } else if (pass % kPatience == 0) {
                order = best_order;
            }
            const auto from = std::find(order.begin(), order.end(), highest);
            const auto places = static_cast<size_t>(from - order.begin()) + 1;
            std::rotate(from - static_cast<std::ptrdiff_t>(random() % places), from, from + 1);
        }
    }
    return *best;
}

int64_t live_peak(const std::vector<TensorLife> &tensors) {
    std::map<int64_t, int64_t> change; // by time
    for (const TensorLife &tensor : tensors) {
        change[tensor.born] += tensor.bytes;
        if (tensor.died != TensorLife::kForEver) change[tensor.died] -= tensor.bytes;
    }
    int64_t live = 0;
    int64_t peak = 0;
    for (const auto &[time, bytes] : change) peak = std::max(peak, live += bytes);
    return peak;
}

void LayoutPlans::expect(const std::vector<TensorLife> &tensors) {
    const auto plan =
        std::find_if(plans_.begin(), plans_.end(), [&](const PlanPtr &known) { return begins_with(*known, tensors); });
    expected_ = tensors.empty() || plan == plans_.end() ? nullptr : *plan;
}

void LayoutPlans::learn(const std::vector<TensorLife> &tensors, int64_t end) {
    const auto is_of_these = [&](const PlanPtr &plan) {
        return std::equal(tensors.begin(), tensors.end(), plan->bytes.begin(), plan->bytes.end(), is_of_bytes);
    };
    const auto known = std::find_if(plans_.begin(), plans_.end(), is_of_these);
    if (known != plans_.end()) {
        plans_.splice(plans_.begin(), plans_, known);
        if (end <= plans_.front()->end) return;
        plans_.pop_front(); // what is of these sizes now lives otherwise
    }
    if (tensors.size() > kMaxTensors || end <= live_peak(tensors)) return;
    auto plan = std::make_shared<const LayoutPlan>(plan_layout(tensors));
    if (plan->end >= end) return;
    plans_.push_front(std::move(plan));
    if (plans_.size() > kMaxPlans) plans_.pop_back();
}

void Rehearsal::note_taken(const void *block, int64_t bytes) noexcept {
    if (!is_whole_ || !is_by_this_thread()) return;
    try {
        is_whole_ = tensors_.size() < kMaxTensors;
        if (!is_whole_) return;
        index_of_[block] = tensors_.size();
        tensors_.push_back({bytes, clock_++});
    } catch (...) {
        is_whole_ = false;
    }
}

void Rehearsal::note_released(const void *block) noexcept {
    const auto index = index_of_.find(block);
    if (index == index_of_.end()) return;
    if (index->second < tensors_.size()) tensors_[index->second].died = clock_++;
    index_of_.erase(index);
}

std::vector<TensorLife> Rehearsal::lives() const {
    std::vector<TensorLife> released;
    if (!is_whole_) return released;
    std::copy_if(tensors_.begin(), tensors_.end(), std::back_inserter(released),
                 [](const TensorLife &tensor) { return tensor.died != TensorLife::kForEver; });
    return released;
}

} // namespace mezzo
