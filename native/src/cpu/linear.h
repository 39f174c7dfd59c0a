// SPDX-License-Identifier: MIT
// The linear layer on the CPU: forward and backward in one pass over blocks of rows that stay in a core's
// caches. What is computed is said in <mezzo/ops.h>, how in docs/kernels/cpu-linear.md.
#pragma once

#include "core/memory.h"
#include "cpu/product.h"
#include "ops/linear.h"

namespace mezzo::cpu {

/// How a layer's work falls to members of a team: each has a range of rows and a range of columns.
struct LinearPlan {
    int64_t row_parts;
    int64_t column_parts;
    int64_t block_rows; // rows that a member works on at a time

    int64_t members() const { return row_parts * column_parts; }
    bool operator==(const LinearPlan &) const = default;
};

/// Threads, of those that there are, that are worth starting for so many multiply-adds. Pure.
int64_t team_size(double work, int64_t threads);

/// Plans for a number of threads and the block that a backend prefers. Pure.
LinearPlan plan_linear(const LinearSizes &sizes, int64_t threads, int64_t preferred_rows);

/// Run a layer with a backend, on threads and scratch memory of the CPU device.
void run_linear(const LinearForward &layer, const ProductBackend &backend, Allocator &memory);
void run_linear(const LinearBackward &layer, const ProductBackend &backend, Allocator &memory);

} // namespace mezzo::cpu
