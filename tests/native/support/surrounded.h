// SPDX-License-Identifier: MIT
#pragma once

#include "core/op.h"
#include "support/tensor.h"

#include <cmath>
#include <limits>

namespace mezzo::testing {

/// Elements amid NaN, which a kernel that reads past their ends would spread, and one that writes there would change.
class Surrounded {
  public:
    /// `misalignment`: elements that the first one lies behind a boundary of 64 bytes or more.
    Surrounded(mezzo_dtype dtype, const std::vector<double> &values, int64_t misalignment = 0)
        : count_(static_cast<int64_t>(values.size())),
          first_(kMargin + misalignment),
          storage_(dtype, {count_ + 2 * kMargin},
                   std::vector<double>(values.size() + 2 * kMargin, std::numeric_limits<double>::quiet_NaN())),
          view_(storage_.view(first_, {count_})) {
        view_.write(values);
    }

    /// The elements, as a kernel is given them.
    TensorData data() const { return require_tensor(view_.handle(), "data"); }
    std::vector<double> values() const { return view_.values(); }
    std::vector<uint8_t> bytes() const { return view_.bytes(); }

    /// Whether what surrounds them is what it was.
    bool is_intact() const {
        const std::vector<double> all = storage_.values();
        for (int64_t i = 0; i < static_cast<int64_t>(all.size()); ++i) {
            const bool inside = i >= first_ && i < first_ + count_;
            if (!inside && !std::isnan(all[static_cast<size_t>(i)])) return false;
        }
        return true;
    }

  private:
    static constexpr int64_t kMargin = 64;
    int64_t count_;
    int64_t first_;
    TestTensor storage_;
    TestTensor view_;
};

} // namespace mezzo::testing
