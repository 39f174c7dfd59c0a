// SPDX-License-Identifier: MIT
#pragma once

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

} // namespace mezzo
