// SPDX-License-Identifier: MIT
// Ops over lists of tensors: their arguments, their checks, and one loop over all elements.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "core/parallel.h"
#include "core/tensor.h"

namespace mezzo {

/// Looks up an array argument of `count` handles. The array may be null when count is 0.
std::vector<TensorRef> require_tensors(const mezzo_tensor *handles, int32_t count, const char *name);

/// The same where the array, and any element of it, may be null: `count` references, some of them false.
std::vector<TensorRef> optional_tensors(const mezzo_tensor *handles, int32_t count, const char *name);

/// INVALID_ARGUMENT when count is below `minimum`.
void expect_count(int32_t count, int32_t minimum);

/// Finds overlaps among all arguments of a call, in n log n steps.
class OverlapCheck {
  public:
    void add_written(const TensorRef &tensor) { add(tensor, true); }
    void add_written(std::span<const TensorRef> tensors);
    void add_read(const TensorRef &tensor) { add(tensor, false); }
    void add_read(std::span<const TensorRef> tensors);

    /// INVALID_ARGUMENT when a written tensor overlaps any other.
    void run();

  private:
    struct Extent {
        const std::byte *begin;
        const std::byte *end;
        const TensorRef *tensor;
        bool written;
    };

    void add(const TensorRef &tensor, bool written);

    std::vector<Extent> extents_;
};

/// A list of tensors seen as one range of elements, so that threads share the work by elements: a large tensor is
/// split, small ones are put together. An Entry says where the elements are.
template <class Entry>
class ElementList {
  public:
    void add(const Entry &entry, int64_t elements) {
        entries_.push_back(entry);
        ends_.push_back((ends_.empty() ? 0 : ends_.back()) + elements);
    }

    size_t size() const { return entries_.size(); }
    const Entry &operator[](size_t index) const { return entries_[index]; }
    int64_t elements(size_t index) const { return ends_[index] - (index == 0 ? 0 : ends_[index - 1]); }

    /// Runs loop(entry, begin, end), an MEZZO_ALWAYS_INLINE function, over all elements of all entries. The CPU's
    /// tensors only. `grain` is the least number of elements worth a thread.
    template <class Loop>
    void parallel_run(const Loop &loop, int64_t grain = kElementGrain) const {
        if (entries_.empty()) return;
        const Entry *entries = entries_.data();
        const int64_t *ends = ends_.data();
        parallel_for(ends_.back(), grain, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            int64_t index = 0;
            while (ends[index] <= begin) ++index;
            for (; begin < end; ++index) {
                const int64_t first = index == 0 ? 0 : ends[index - 1];
                const int64_t past = end < ends[index] ? end : ends[index];
                loop(entries[index], begin - first, past - first);
                begin = past;
            }
        });
    }

  private:
    std::vector<Entry> entries_;
    std::vector<int64_t> ends_;
};

} // namespace mezzo
