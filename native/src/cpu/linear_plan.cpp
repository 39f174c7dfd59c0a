// SPDX-License-Identifier: MIT
#include "cpu/linear.h"

#include "core/arithmetic.h"

#include <algorithm>

namespace mezzo::cpu {
namespace {

// Below this many multiply-adds, starting another thread costs more than it saves.
constexpr double kMemberWork = 1 << 17;

// A member of a team that divides rows packs the whole weight and sums a weight gradient of its own: that
// needs enough rows to pay for it, and a weight that is not too large.
constexpr int64_t kMemberRows = 64;
constexpr int64_t kSharedWeight = int64_t{1} << 20;

// Blocks of a multiple of this fill the tiles of the micro-kernel and its pairs of rows.
constexpr int64_t kRowUnit = 10;

} // namespace

int64_t team_size(double work, int64_t threads) {
    return static_cast<int64_t>(std::clamp(work / kMemberWork, 1.0, static_cast<double>(threads)));
}

LinearPlan plan_linear(const LinearSizes &sizes, int64_t threads, int64_t preferred_rows) {
    const int64_t weight = sizes.in_features * sizes.out_features;
    const int64_t members = team_size(static_cast<double>(sizes.rows) * static_cast<double>(weight), threads);
    const bool by_rows = weight <= kSharedWeight && sizes.rows >= members * kMemberRows;

    LinearPlan plan{by_rows ? members : 1, by_rows ? 1 : members, 0};
    const int64_t member_rows = divide_up(sizes.rows, plan.row_parts);
    const int64_t blocks = divide_up(member_rows, preferred_rows);
    plan.block_rows = divide_up(divide_up(member_rows, blocks), kRowUnit) * kRowUnit;
    return plan;
}

} // namespace mezzo::cpu
