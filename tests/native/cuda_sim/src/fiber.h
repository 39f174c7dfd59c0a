// SPDX-License-Identifier: MIT
// Stacks that the scheduler switches between: one for each unfinished thread of the running block, kept and reused
// for ever.
#pragma once

#include <cstddef>

namespace mezzo::cuda_sim {

struct Fiber {
    void *context = nullptr; // where it was left, while it is not running
    const void *stack_bottom = nullptr;
    size_t stack_bytes = 0;
    void *fake_stack = nullptr; // AddressSanitizer's
    bool in_use = false;        // taken from the pool
};

/// Leaves `from`, the running fiber, for `to`. Returns when something switches to `from` again.
void switch_fiber(Fiber &from, Fiber &to);

class FiberPool {
  public:
    /// Fibers begin by calling `body`, which never returns.
    explicit FiberPool(void (*body)());

    Fiber &take() {
        if (free_count_ == 0) make_fiber();
        Fiber &fiber = *free_[--free_count_];
        fiber.in_use = true;
        return fiber;
    }

    /// The fiber goes on in its body where it has called this and then switched away.
    void give_back(Fiber &fiber) {
        fiber.in_use = false;
        free_[free_count_++] = &fiber;
    }

    /// Abandons what the fibers in use were doing: each begins with `body` again.
    void restart_used();

  private:
    static constexpr int kMaxFibers = 1024;

    void make_fiber();
    void start(int index);

    void (*body_)();
    int count_ = 0;
    int free_count_ = 0;
    Fiber fibers_[kMaxFibers];
    Fiber *free_[kMaxFibers];
};

} // namespace mezzo::cuda_sim
