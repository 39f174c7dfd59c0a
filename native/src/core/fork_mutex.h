// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

namespace mezzo {

/// A mutex that no thread holds while the process forks, so that the child, which has the forking thread
/// alone, finds it free and what it guards whole. A thread must not hold two of them at a time.
class ForkMutex {
  public:
    ForkMutex();
    ~ForkMutex();
    ForkMutex(const ForkMutex &) = delete;
    ForkMutex &operator=(const ForkMutex &) = delete;

    void lock() { mutex_.lock(); }
    void unlock() { mutex_.unlock(); }

  private:
    std::mutex mutex_;
};

/// Number of calls that are under way. The child of a fork, whose one thread is in none of them, finds 0.
class ForkCounter {
  public:
    ForkCounter();
    ~ForkCounter();
    ForkCounter(const ForkCounter &) = delete;
    ForkCounter &operator=(const ForkCounter &) = delete;

    void enter() noexcept { count_.fetch_add(1); }
    void leave() noexcept { count_.fetch_sub(1); }
    void wait_for_none() const noexcept;

  private:
    friend void clear_in_child();
    std::atomic<int64_t> count_{0};
};

} // namespace mezzo
