// SPDX-License-Identifier: MIT
#include "ops/tensor_list.h"

namespace mezzo {

std::vector<TensorRef> require_tensors(const mezzo_tensor *handles, int32_t count, const char *name) {
    std::vector<TensorRef> tensors;
    if (count == 0) return tensors;
    require_pointer(handles, name);
    tensors.reserve(static_cast<size_t>(count));
    for (int32_t i = 0; i < count; ++i) tensors.push_back(require_tensor(handles[i], name, i));
    return tensors;
}

std::vector<TensorRef> optional_tensors(const mezzo_tensor *handles, int32_t count, const char *name) {
    std::vector<TensorRef> tensors;
    tensors.reserve(static_cast<size_t>(count));
    for (int32_t i = 0; i < count; ++i) {
        tensors.push_back(optional_tensor(handles == nullptr ? mezzo_tensor{} : handles[i], name, i));
    }
    return tensors;
}

void expect_count(int32_t count, int32_t minimum) {
    if (count < minimum) fail(MEZZO_STATUS_INVALID_ARGUMENT, "count is %d, expected at least %d", count, minimum);
}

void OverlapCheck::add(const TensorRef &tensor, bool written) {
    if (!tensor) return;
    const std::byte *begin = tensor.bytes_data();
    extents_.push_back({begin, begin + tensor.bytes(), &tensor, written});
}

void OverlapCheck::add_written(std::span<const TensorRef> tensors) {
    for (const TensorRef &tensor : tensors) add(tensor, true);
}

void OverlapCheck::add_read(std::span<const TensorRef> tensors) {
    for (const TensorRef &tensor : tensors) add(tensor, false);
}

void OverlapCheck::run() {
    std::sort(extents_.begin(), extents_.end(),
              [](const Extent &left, const Extent &right) { return left.begin < right.begin; });
    // In order of their beginnings, a tensor overlaps an earlier one exactly when it begins before the
    // largest end so far; tensors that are only read may share memory with each other.
    const Extent *farthest = nullptr;
    const Extent *farthest_written = nullptr;
    for (const Extent &extent : extents_) {
        const Extent *earlier = extent.written ? farthest : farthest_written;
        if (earlier != nullptr && extent.begin < earlier->end) {
            const bool written_first = extent.written;
            expect_no_overlap(written_first ? *extent.tensor : *earlier->tensor,
                              written_first ? *earlier->tensor : *extent.tensor);
        }
        if (farthest == nullptr || extent.end > farthest->end) farthest = &extent;
        if (extent.written && (farthest_written == nullptr || extent.end > farthest_written->end)) {
            farthest_written = &extent;
        }
    }
}

} // namespace mezzo
