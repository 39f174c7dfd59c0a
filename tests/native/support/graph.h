// SPDX-License-Identifier: MIT
#pragma once

#include "support/tensor.h"

#include <functional>

namespace mezzo::testing {

/// Owns a graph of a device.
class TestGraph {
  public:
    /// Captures what `issue` issues.
    explicit TestGraph(const std::function<void()> &issue, mezzo_device device = test_device());
    /// Ends the capture that is under way on test_device().
    TestGraph();
    ~TestGraph();
    TestGraph(const TestGraph &) = delete;
    TestGraph &operator=(const TestGraph &) = delete;

    operator mezzo_graph() const { return handle_; }

    mezzo_graph_info info() const;
    void launch() const;

  private:
    mezzo_graph handle_{};
};

} // namespace mezzo::testing
