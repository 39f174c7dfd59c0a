// SPDX-License-Identifier: MIT
#include "support/graph.h"

#include "support/status.h"

namespace mezzo::testing {

TestGraph::TestGraph(const std::function<void()> &issue, mezzo_device device) {
    EXPECT_OK(mezzo_graph_capture_begin(device));
    issue();
    EXPECT_OK(mezzo_graph_capture_end(&handle_, device));
}

TestGraph::TestGraph() {
    EXPECT_OK(mezzo_graph_capture_end(&handle_, test_device()));
}

TestGraph::~TestGraph() {
    EXPECT_OK(mezzo_graph_destroy(handle_));
}

mezzo_graph_info TestGraph::info() const {
    mezzo_graph_info info{};
    EXPECT_OK(mezzo_graph_describe(&info, handle_));
    return info;
}

void TestGraph::launch() const {
    EXPECT_OK(mezzo_graph_launch(handle_));
}

} // namespace mezzo::testing
