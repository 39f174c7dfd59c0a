// SPDX-License-Identifier: MIT
// Runs a computation on several numbers of threads.
#pragma once

#include <vector>

#include "support/status.h"

namespace mezzo::testing {

/// Sets the number of threads and restores it with its scope.
class ThreadScope {
  public:
    explicit ThreadScope(int32_t threads) {
        EXPECT_OK(mezzo_threads_get(&previous_));
        EXPECT_OK(mezzo_threads_set(threads));
    }
    ~ThreadScope() { EXPECT_OK(mezzo_threads_set(previous_)); }
    ThreadScope(const ThreadScope &) = delete;
    ThreadScope &operator=(const ThreadScope &) = delete;

  private:
    int32_t previous_ = 1;
};

/// Expects `compute`, which returns bytes, to return the same ones on 1, 2 and 3 threads.
template <class Compute>
void expect_same_bytes_on_any_threads(const Compute &compute) {
    std::vector<std::vector<uint8_t>> results;
    for (const int32_t threads : {1, 2, 3}) {
        const ThreadScope scope(threads);
        results.push_back(compute());
    }
    EXPECT_EQ(results[0], results[1]) << "1 thread and 2 threads differ";
    EXPECT_EQ(results[0], results[2]) << "1 thread and 3 threads differ";
}

} // namespace mezzo::testing
