// SPDX-License-Identifier: MIT
// Where tensors lie in a range of addresses that grows at its end. Offsets and sizes are multiples of kMemoryAlignment.
#pragma once

#include "core/thread_number.h"

#include <cstdint>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

namespace mezzo {

/// The free parts of a range.
class MemoryLayout {
  public:
    /// Where a tensor may lie: in the smallest free part that is large enough, the lowest of equal ones, else at the
    /// end, together with what is free there.
    int64_t find(int64_t bytes) const;

    /// Whether nothing lies there.
    bool is_free(int64_t offset, int64_t bytes) const;

    /// The end once a tensor lies there.
    int64_t end_with(int64_t offset, int64_t bytes) const { return offset + bytes > end_ ? offset + bytes : end_; }

    /// Marks a free part as taken; the range grows where it reaches beyond its end.
    void take(int64_t offset, int64_t bytes);
    void release(int64_t offset, int64_t bytes);

    /// The most that the range had to be, ever.
    int64_t end() const { return end_; }

    /// Free parts below the end: bytes by offset. No two of them touch.
    const std::map<int64_t, int64_t> &free_parts() const { return free_; }

  private:
    std::map<int64_t, int64_t> free_;
    int64_t end_ = 0;
};

/// A tensor of a capture: its size, and when it came and went in the sequence of all that came and went.
struct TensorLife {
    static constexpr int64_t kForEver = std::numeric_limits<int64_t>::max();

    int64_t bytes;
    int64_t born;
    int64_t died = kForEver;

    bool overlaps(const TensorLife &other) const { return born < other.died && other.born < died; }
};

/// Offsets for tensors whose lives are known beforehand.
struct LayoutPlan {
    std::vector<int64_t> bytes; // of the tensors, in the order in which they are asked for
    std::vector<int64_t> offsets;
    int64_t end = 0;
};

/// Places one tensor after the other, each as low as those before it allow, in several orders: what has come to lie at
/// the end is placed earlier the next time. What is placed as it comes cannot know what comes after: a small tensor
/// that stays takes the place of a large one that will be asked for again.
LayoutPlan plan_layout(const std::vector<TensorLife> &tensors);

/// The most bytes that live at once.
int64_t live_peak(const std::vector<TensorLife> &tensors);

/// Plans of the latest captures, for the next one that is expected to be like one of them. A plan that is not expected
/// may be of a much larger step.
class LayoutPlans {
  public:
    using PlanPtr = std::shared_ptr<const LayoutPlan>;

    /// Learns from a capture, which took `end` bytes.
    void learn(const std::vector<TensorLife> &tensors, int64_t end);

    /// Says that the next capture is expected to be like this, of which a plan may be known; empty for nothing.
    void expect(const std::vector<TensorLife> &tensors);

    /// The plan of what is expected; null when there is none.
    PlanPtr expected() const { return expected_; }

  private:
    std::list<PlanPtr> plans_; // the one used last is the first
    PlanPtr expected_;
};

/// What a thread takes and what is released of it, op by op, before it captures the same.
class Rehearsal {
  public:
    bool is_by_this_thread() const { return thread_ == this_thread_number(); }
    void note_taken(const void *block, int64_t bytes) noexcept;
    void note_released(const void *block) noexcept;

    /// What has been taken and released. The rest outlives the capture: parameters' copies, an optimizer's states.
    /// Empty when it was too much to note.
    std::vector<TensorLife> lives() const;

  private:
    uint64_t thread_ = this_thread_number();
    std::vector<TensorLife> tensors_;
    std::unordered_map<const void *, size_t> index_of_; // of those that have not been released
    int64_t clock_ = 0;
    bool is_whole_ = true; // else there was no memory to note it by, or it is too much
};

} // namespace mezzo
