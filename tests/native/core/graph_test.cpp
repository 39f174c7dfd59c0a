// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include "support/graph.h"
#include "support/oracle.h"
#include "support/status.h"

#include <atomic>
#include <limits>
#include <string>
#include <thread>

namespace mezzo::testing {
namespace {

const mezzo_device kDevice = test_device();

mezzo_memory_stats stats() {
    mezzo_memory_stats stats{};
    EXPECT_OK(mezzo_memory_stats_get(&stats, kDevice));
    return stats;
}

/// Captures y = relu(x).
TestGraph capture_relu(const TestTensor &y, const TestTensor &x) {
    return TestGraph([&] { EXPECT_OK(mezzo_relu_forward(y, x)); });
}

TEST(Graph, Launch_RunsWhatWasCapturedOnWhatTheTensorsHoldThen) {
    const TestTensor x(MEZZO_DTYPE_F32, {3}, {-1, 2, -3});
    const TestTensor y(MEZZO_DTYPE_F32, {3}, {7, 7, 7});
    const TestGraph graph = capture_relu(y, x);
    EXPECT_TRUE(is_identical(y.values(), {7, 7, 7})) << "a captured op ran";
    ASSERT_OK(mezzo_graph_launch(graph));
    EXPECT_TRUE(is_identical(y.values(), {0, 2, 0}));
    x.write({4, -5, 6});
    ASSERT_OK(mezzo_graph_launch(graph));
    ASSERT_OK(mezzo_graph_launch(graph));
    EXPECT_TRUE(is_identical(y.values(), {4, 0, 6}));
    EXPECT_EQ(graph.info().ops, 1);
    EXPECT_EQ(graph.info().device.type, kDevice.type);
}

TEST(Graph, Launch_RunsOpsInTheirOrder) {
    const TestTensor x(MEZZO_DTYPE_F32, {2}, {1, -2});
    const TestTensor sum(MEZZO_DTYPE_F32, {2}, {0, 0});
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    ASSERT_OK(mezzo_add_forward(sum, sum, x));
    ASSERT_OK(mezzo_tensor_copy(x, sum));
    const TestGraph graph;
    for (int i = 0; i < 3; ++i) ASSERT_OK(mezzo_graph_launch(graph));
    EXPECT_TRUE(is_identical(sum.values(), {4, -8})); // doubled by each launch but the first
}

TEST(Graph, TensorsOfTheCapture_HaveTheirOwnMemoryThatIsUsedAgain) {
    const TestTensor x(MEZZO_DTYPE_F32, {1024}, std::vector<double>(1024, 3));
    const TestTensor out(MEZZO_DTYPE_F32, {1024});
    const mezzo_memory_stats before = stats();
    {
        ASSERT_OK(mezzo_graph_capture_begin(kDevice));
        for (int i = 0; i < 5; ++i) {
            const TestTensor temporary(MEZZO_DTYPE_F32, {1024}); // the same block each time
            EXPECT_OK(mezzo_add_forward(temporary, x, x));
            EXPECT_OK(mezzo_add_forward(out, temporary, x));
        }
        const TestGraph graph;
        EXPECT_EQ(graph.info().memory_bytes, 4096);
        EXPECT_EQ(stats().graph_bytes, before.graph_bytes + 4096);
        EXPECT_EQ(stats().current_bytes, before.current_bytes);
        // Nobody else gets the block between two launches.
        const TestTensor other(MEZZO_DTYPE_F32, {1024}, std::vector<double>(1024, 5));
        EXPECT_OK(mezzo_graph_launch(graph));
        EXPECT_TRUE(is_identical(out.values(), std::vector<double>(1024, 9)));
        EXPECT_TRUE(is_identical(other.values(), std::vector<double>(1024, 5)));
    }
    EXPECT_EQ(stats().graph_bytes, before.graph_bytes);
    EXPECT_EQ(stats().current_bytes, before.current_bytes);
}

TEST(Graph, ATensorOfTheCapture_MayOutliveTheGraph) {
    const TestTensor x(MEZZO_DTYPE_F32, {2}, {-1, 4});
    const mezzo_memory_stats before = stats();
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    TestTensor y(MEZZO_DTYPE_F32, {2});
    ASSERT_OK(mezzo_relu_forward(y, x));
    {
        const TestGraph graph;
        ASSERT_OK(mezzo_graph_launch(graph));
    }
    EXPECT_TRUE(is_identical(y.values(), {0, 4}));
    y.destroy();
    EXPECT_EQ(stats().current_bytes, before.current_bytes);
    EXPECT_EQ(stats().graph_bytes, before.graph_bytes);
}

TEST(Graph, ATensorFromOutside_IsKeptAliveByTheGraph) {
    const TestTensor y(MEZZO_DTYPE_F32, {2}, {0, 0});
    const int64_t before = stats().current_bytes;
    {
        TestTensor x(MEZZO_DTYPE_F32, {2}, {-1, 4});
        const TestGraph graph = capture_relu(y, x);
        x.destroy();
        EXPECT_EQ(stats().current_bytes, before + 64);
        ASSERT_OK(mezzo_graph_launch(graph));
        EXPECT_TRUE(is_identical(y.values(), {0, 4}));
    }
    EXPECT_EQ(stats().current_bytes, before);
}

TEST(Graph, Signature_TellsOtherTensorsAndOtherOps) {
    const TestTensor x(MEZZO_DTYPE_F32, {2}, {-1, 4});
    const TestTensor z(MEZZO_DTYPE_F32, {2}, {-1, 4});
    const TestTensor y(MEZZO_DTYPE_F32, {2});
    const uint64_t first = capture_relu(y, x).info().signature;
    EXPECT_EQ(capture_relu(y, x).info().signature, first);
    EXPECT_NE(capture_relu(y, z).info().signature, first);
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    ASSERT_OK(mezzo_cast_forward(y, x));
    EXPECT_NE(TestGraph().info().signature, first);
}

TEST(Graph, Abort_DropsWhatWasCaptured) {
    const TestTensor x(MEZZO_DTYPE_F32, {2}, {-1, 4});
    const TestTensor y(MEZZO_DTYPE_F32, {2}, {7, 7});
    const mezzo_memory_stats before = stats();
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    {
        const TestTensor temporary(MEZZO_DTYPE_F32, {1024});
        ASSERT_OK(mezzo_relu_forward(y, x));
    }
    ASSERT_OK(mezzo_graph_capture_abort(kDevice));
    ASSERT_OK(mezzo_graph_capture_abort(kDevice)); // nothing to do
    EXPECT_TRUE(is_identical(y.values(), {7, 7}));
    EXPECT_EQ(stats().graph_bytes, before.graph_bytes);
    ASSERT_OK(mezzo_relu_forward(y, x)); // runs at once again
    EXPECT_TRUE(is_identical(y.values(), {0, 4}));
}

TEST(Graph, WhatCannotBeCaptured_SaysSoAndLeavesTheCaptureAsItWas) {
    const TestTensor x(MEZZO_DTYPE_F32, {2}, {-1, 4});
    const TestTensor y(MEZZO_DTYPE_F32, {2}, {7, 7});
    float host[2] = {};
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    ASSERT_OK(mezzo_relu_forward(y, x));
    EXPECT_FAILS(mezzo_tensor_read(host, x, sizeof(host)), CAPTURE_INVALID,
                 "tensor_read: cannot be captured into a graph: it copies to the host");
    EXPECT_FAILS(mezzo_tensor_write(x, host, sizeof(host)), CAPTURE_INVALID,
                 "tensor_write: cannot be captured into a graph: it copies from the host");
    EXPECT_FAILS(mezzo_device_synchronize(kDevice), CAPTURE_INVALID,
                 "device_synchronize: cannot be captured into a graph: nothing that is recorded has run");
    const std::string under_way = "graph_capture_begin: a capture of " + device_name_of(kDevice) + " is under way";
    EXPECT_FAILS(mezzo_graph_capture_begin(kDevice), CAPTURE_INVALID, under_way.c_str());
    EXPECT_FAILS(mezzo_graph_rehearse(kDevice), CAPTURE_INVALID,
                 "graph_rehearse: cannot be captured into a graph: it is about a capture to come");
    EXPECT_FAILS(mezzo_relu_forward(y, {}), INVALID_HANDLE, "relu_forward: input is the null tensor");
    const TestGraph graph;
    EXPECT_EQ(graph.info().ops, 1);
    ASSERT_OK(mezzo_graph_launch(graph));
    EXPECT_TRUE(is_identical(y.values(), {0, 4}));
}

TEST(Graph, OtherThreads_AreTurnedAwayDuringACapture) {
    const TestTensor x(MEZZO_DTYPE_F32, {2}, {-1, 4});
    const TestTensor y(MEZZO_DTYPE_F32, {2});
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    std::thread([&] {
        const std::string device = device_name_of(kDevice);
        EXPECT_FAILS(mezzo_relu_forward(y, x), CAPTURE_INVALID,
                     ("relu_forward: " + device + " is being captured by another thread").c_str());
        EXPECT_FAILS(mezzo_graph_capture_abort(kDevice), CAPTURE_INVALID,
                     ("graph_capture_abort: " + device + " is being captured by another thread").c_str());
        mezzo_tensor_info info{};
        EXPECT_OK(mezzo_tensor_describe(&info, x));
        const TestTensor mine(MEZZO_DTYPE_F32, {2}); // in memory of nobody's graph
    }).join();
    const TestGraph graph;
    EXPECT_EQ(graph.info().ops, 0);
    EXPECT_EQ(graph.info().memory_bytes, 0);
}

// A thread fills and reads a tensor while this one captures: each of its calls is done at once or turned away.
TEST(Graph, Capture_BesideAThreadThatWorks_RecordsItsOwnAlone) {
    constexpr int64_t kElements = 64;
    const TestTensor x(MEZZO_DTYPE_F32, {kElements}, std::vector<double>(kElements, 3));
    const TestTensor y(MEZZO_DTYPE_F32, {kElements});
    std::atomic<bool> stop{false};
    std::atomic<int> done{0}, wrong{0};
    std::thread other([&] {
        mezzo_tensor own{};
        const int64_t elements = kElements;
        while (mezzo_tensor_create(&own, kDevice, MEZZO_DTYPE_F32, &elements, 1) != MEZZO_STATUS_OK) {
        }
        float last = 0;
        for (float value = 1; !stop; ++value) {
            const mezzo_status filled = mezzo_fill(own, value);
            if (filled == MEZZO_STATUS_OK) last = value;
            float host[kElements] = {};
            const mezzo_status read = mezzo_tensor_read(host, own, sizeof(host));
            for (const mezzo_status status : {filled, read}) {
                wrong += status != MEZZO_STATUS_OK && status != MEZZO_STATUS_CAPTURE_INVALID;
            }
            if (read == MEZZO_STATUS_OK && last != 0) {
                wrong += host[0] != last || host[kElements - 1] != last;
                ++done;
            }
            // Memory goes back to the device, and comes again, at any time.
            mezzo_tensor brief{};
            if (mezzo_tensor_create(&brief, kDevice, MEZZO_DTYPE_F32, &elements, 1) == MEZZO_STATUS_OK) {
                wrong += mezzo_tensor_destroy(brief) != MEZZO_STATUS_OK;
            }
            wrong += mezzo_memory_trim(kDevice) != MEZZO_STATUS_OK;
        }
        wrong += mezzo_tensor_destroy(own) != MEZZO_STATUS_OK;
    });
    for (int i = 0; i < 300 || (done < 20 && i < 30000); ++i) {
        const TestGraph graph = capture_relu(y, x);
        EXPECT_EQ(graph.info().ops, 1);
        EXPECT_OK(mezzo_graph_launch(graph));
        if (::testing::Test::HasFailure()) break;
    }
    stop = true;
    other.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_GE(done, 20);
    EXPECT_TRUE(is_identical(y.values(), std::vector<double>(kElements, 3)));
}

TEST(Graph, End_WithoutAPlaceForTheGraph_EndsTheCaptureAllTheSame) {
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    EXPECT_FAILS(mezzo_graph_capture_end(nullptr, kDevice), INVALID_ARGUMENT,
                 "graph_capture_end: out_graph is a null pointer");
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    ASSERT_OK(mezzo_graph_capture_abort(kDevice));
}

TEST(Graph, BadHandlesAndPointers_AreRejected) {
    mezzo_graph_info info{};
    EXPECT_FAILS(mezzo_graph_launch({}), INVALID_HANDLE, "graph_launch: graph is the null graph");
    EXPECT_FAILS(mezzo_graph_launch({77}), INVALID_HANDLE,
                 "graph_launch: graph is 0x4d, which is not the handle of a live graph");
    EXPECT_FAILS(mezzo_graph_describe(&info, {77}), INVALID_HANDLE,
                 "graph_describe: graph is 0x4d, which is not the handle of a live graph");
    EXPECT_FAILS(mezzo_graph_destroy({77}), INVALID_HANDLE,
                 "graph_destroy: graph is 0x4d, which is not the handle of a live graph");
    EXPECT_OK(mezzo_graph_destroy({}));
    mezzo_graph graph{};
    EXPECT_FAILS(mezzo_graph_capture_end(nullptr, kDevice), INVALID_ARGUMENT,
                 "graph_capture_end: out_graph is a null pointer");
    const std::string none = "graph_capture_end: no capture of " + device_name_of(kDevice) + " is under way";
    EXPECT_FAILS(mezzo_graph_capture_end(&graph, kDevice), CAPTURE_INVALID, none.c_str());
    EXPECT_FAILS(mezzo_graph_capture_begin({MEZZO_DEVICE_TYPE_CPU, 3}), DEVICE_UNAVAILABLE,
                 "graph_capture_begin: there is no device cpu:3: indices of this kind go from 0 to 0");
}

/// A capture under way, aborted unless it is finished.
class CaptureScope {
  public:
    CaptureScope() { EXPECT_OK(mezzo_graph_capture_begin(kDevice)); }
    ~CaptureScope() { EXPECT_OK(mezzo_graph_capture_abort(kDevice)); }
    CaptureScope(const CaptureScope &) = delete;
    CaptureScope &operator=(const CaptureScope &) = delete;
};

constexpr int64_t kElements = 16000;
constexpr int64_t kSmall = 801;

/// out = 24 x, + 48 in its first elements: a forward pass whose activations are computed once more in the backward
/// pass, segment by segment, with small tensors between them that stay to the end.
void issue_checkpointed_step(const TestTensor &out, const TestTensor &x) {
    const int64_t elements = x.info().elements;
    constexpr int kSegments = 4, kLayers = 6;
    std::vector<TestTensor> kept, small;
    const auto layers = [&](std::vector<TestTensor> &made, const TestTensor &from) {
        for (int i = 0; i < kLayers; ++i) {
            TestTensor next(MEZZO_DTYPE_F32, {elements});
            EXPECT_OK(mezzo_cast_forward(next, i == 0 ? from : made.back()));
            made.push_back(std::move(next));
        }
    };
    for (int segment = 0; segment < kSegments; ++segment) {
        std::vector<TestTensor> dropped;
        layers(dropped, segment == 0 ? x : kept.back());
        kept.emplace_back(MEZZO_DTYPE_BF16, Shape{elements});
        EXPECT_OK(mezzo_cast_forward(kept.back(), dropped.back()));
    }
    EXPECT_OK(mezzo_fill(out, 0));
    TestTensor flow(MEZZO_DTYPE_F32, {elements});
    for (int segment = kSegments; segment-- > 0;) {
        std::vector<TestTensor> made;
        layers(made, segment == 0 ? x : kept[static_cast<size_t>(segment) - 1]);
        for (; !made.empty(); made.pop_back()) {
            small.emplace_back(MEZZO_DTYPE_F32, Shape{kSmall});
            EXPECT_OK(mezzo_fill(small.back(), 2));
            TestTensor next(MEZZO_DTYPE_F32, {elements});
            EXPECT_OK(mezzo_cast_forward(next, made.back()));
            EXPECT_OK(mezzo_add_forward(out, out, next));
            flow = std::move(next);
        }
        kept.pop_back();
    }
    const TestTensor part = out.view(0, {kSmall});
    for (const TestTensor &tensor : small) EXPECT_OK(mezzo_add_forward(part, part, tensor)); // still theirs?
}

TEST(Graph, ACheckpointedStep_CapturedTwice_TakesWhatLivesAtMost) {
    const TestTensor x(MEZZO_DTYPE_F32, {kElements}, std::vector<double>(kElements, 3));
    const TestTensor out(MEZZO_DTYPE_F32, {kElements}), expected(MEZZO_DTYPE_F32, {kElements});
    issue_checkpointed_step(expected, x); // makes what it makes once
    ASSERT_OK(mezzo_memory_peak_reset(kDevice));
    const mezzo_memory_stats before = stats();
    issue_checkpointed_step(expected, x);
    const int64_t live = stats().peak_bytes - before.peak_bytes;
    for (int capture = 0; capture < 3; ++capture) {
        ASSERT_OK(mezzo_memory_peak_reset(kDevice));
        ASSERT_OK(mezzo_graph_capture_begin(kDevice));
        issue_checkpointed_step(out, x);
        const TestGraph graph;
        EXPECT_GE(graph.info().memory_bytes, live);
        EXPECT_LE(graph.info().memory_bytes, capture == 0 ? live + 4 * kElements : live + live / 100);
        EXPECT_EQ(stats().peak_bytes, before.peak_bytes + graph.info().memory_bytes);
        EXPECT_EQ(stats().graph_bytes, before.graph_bytes + graph.info().memory_bytes);
        for (int launch = 0; launch < 2; ++launch) {
            ASSERT_OK(mezzo_fill(out, 7));
            ASSERT_OK(mezzo_graph_launch(graph));
            EXPECT_TRUE(is_identical(out.values(), expected.values()));
        }
    }
    EXPECT_EQ(stats().graph_bytes, before.graph_bytes);
    EXPECT_EQ(stats().current_bytes, before.current_bytes);
}

TEST(Graph, ACheckpointedStep_ThatWasRehearsed_TakesWhatLivesAtMost) {
    // Of a size of its own, so that no other capture has taught it.
    constexpr int64_t kOther = kElements + 160;
    const TestTensor x(MEZZO_DTYPE_F32, {kOther}, std::vector<double>(kOther, 3));
    const TestTensor out(MEZZO_DTYPE_F32, {kOther}), expected(MEZZO_DTYPE_F32, {kOther});
    issue_checkpointed_step(expected, x); // makes what it makes once
    ASSERT_OK(mezzo_graph_rehearse(kDevice));
    const TestTensor stays(MEZZO_DTYPE_F32, {kOther}); // as an optimizer's states, which are no part of the capture
    ASSERT_OK(mezzo_memory_peak_reset(kDevice));
    const mezzo_memory_stats before = stats();
    std::thread([] { const TestTensor of_another_thread(MEZZO_DTYPE_F32, {kElements}); }).join();
    issue_checkpointed_step(expected, x);
    const int64_t live = stats().peak_bytes - before.peak_bytes;
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    issue_checkpointed_step(out, x);
    const TestGraph graph;
    EXPECT_GE(graph.info().memory_bytes, live);
    EXPECT_LE(graph.info().memory_bytes, live + live / 100);
    ASSERT_OK(mezzo_graph_launch(graph));
    EXPECT_TRUE(is_identical(out.values(), expected.values()));
}

TEST(Graph, ACaptureOfOtherSizesThanRehearsed_IsRightAllTheSame) {
    const TestTensor small(MEZZO_DTYPE_F32, {kElements + 320}, std::vector<double>(kElements + 320, 2));
    const TestTensor x(MEZZO_DTYPE_F32, {kElements + 480}, std::vector<double>(kElements + 480, 3));
    const TestTensor small_out(MEZZO_DTYPE_F32, {kElements + 320}), out(MEZZO_DTYPE_F32, {kElements + 480});
    const TestTensor expected(MEZZO_DTYPE_F32, {kElements + 480});
    issue_checkpointed_step(expected, x);
    ASSERT_OK(mezzo_graph_rehearse(kDevice));
    issue_checkpointed_step(small_out, small);
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    issue_checkpointed_step(out, x);
    const TestGraph graph;
    ASSERT_OK(mezzo_graph_launch(graph));
    EXPECT_TRUE(is_identical(out.values(), expected.values()));
}

// Its first tensor is of the size of the larger step's, whose plan would put it behind a tensor that is too large.
TEST(Graph, ASmallCapture_AfterALargeRehearsal_FitsALimitForTheSmallOne) {
    constexpr int64_t kLarge = 1 << 22;
    {
        ASSERT_OK(mezzo_graph_rehearse(kDevice));
        const TestTensor first(MEZZO_DTYPE_U8, {640}), large(MEZZO_DTYPE_U8, {kLarge});
    }
    const mezzo_memory_stats before = stats();
    ASSERT_OK(mezzo_memory_limit_set(kDevice, before.current_bytes + before.graph_bytes + kLarge / 2));
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    { const TestTensor first(MEZZO_DTYPE_U8, {640}), second(MEZZO_DTYPE_U8, {1280}); }
    const TestGraph graph;
    EXPECT_OK(mezzo_memory_limit_set(kDevice, 0));
    EXPECT_EQ(graph.info().memory_bytes, 640 + 1280);
}

TEST(Graph, ATensorOfNearlyAllAddresses_IsRefusedInACapture) {
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max() - 64;
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    const TestTensor first(MEZZO_DTYPE_U8, {640});
    mezzo_tensor huge{};
    EXPECT_EQ(mezzo_tensor_create(&huge, kDevice, MEZZO_DTYPE_U8, &kMost, 1), MEZZO_STATUS_OUT_OF_MEMORY);
    const TestTensor second(MEZZO_DTYPE_U8, {640});
    const TestGraph graph;
    EXPECT_EQ(graph.info().memory_bytes, 2 * 640);
}

TEST(Graph, FreedNeighbours_HaveRoomForTheirSum) {
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    {
        TestTensor first(MEZZO_DTYPE_BF16, {1000}), second(MEZZO_DTYPE_F32, {1000}), last(MEZZO_DTYPE_F32, {1});
        first.destroy();
        second.destroy();
        const TestTensor sum(MEZZO_DTYPE_U8, {2048 + 4032});
    }
    const TestGraph graph;
    EXPECT_EQ(graph.info().memory_bytes, 2048 + 4032 + 64);
}

TEST(Graph, TwoGraphs_DoNotTouchEachOther) {
    const TestTensor x(MEZZO_DTYPE_F32, {kElements}, std::vector<double>(kElements, 3));
    const TestTensor first_out(MEZZO_DTYPE_F32, {kElements}), second_out(MEZZO_DTYPE_F32, {kElements});
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    TestTensor kept(MEZZO_DTYPE_F32, {kElements}); // holds the result of the latest launch
    ASSERT_OK(mezzo_add_forward(kept, x, x));
    issue_checkpointed_step(first_out, kept);
    const TestGraph first;
    ASSERT_OK(mezzo_graph_launch(first));
    const std::vector<double> results = first_out.values();
    {
        ASSERT_OK(mezzo_graph_capture_begin(kDevice));
        issue_checkpointed_step(second_out, x);
        const TestGraph second;
        for (int i = 0; i < 3; ++i) ASSERT_OK(mezzo_graph_launch(second));
        EXPECT_TRUE(is_identical(kept.values(), std::vector<double>(kElements, 6)));
        ASSERT_OK(mezzo_graph_launch(first));
        EXPECT_TRUE(is_identical(first_out.values(), results));
        EXPECT_FALSE(is_identical(second_out.values(), results));
    }
    ASSERT_OK(mezzo_graph_launch(first));
    EXPECT_TRUE(is_identical(first_out.values(), results));
}

TEST(Graph, ManyCaptures_SomeAbortedAndSomeOutlived_LeaveNothingBehind) {
    const TestTensor x(MEZZO_DTYPE_F32, {kElements}, std::vector<double>(kElements, 3));
    const TestTensor out(MEZZO_DTYPE_F32, {kElements});
    const mezzo_memory_stats before = stats();
    TestTensor survivor;
    for (int i = 0; i < 60; ++i) {
        const CaptureScope capture;
        TestTensor own(MEZZO_DTYPE_F32, {1000 + 16 * i}), shorter(MEZZO_DTYPE_F32, {10});
        ASSERT_OK(mezzo_fill(own, i));
        ASSERT_OK(mezzo_fill(shorter, i));
        if (i % 3 == 0) continue;
        const TestGraph graph;
        ASSERT_OK(mezzo_graph_launch(graph));
        survivor = std::move(shorter); // the one before goes, and with it the rest of its graph
    }
    EXPECT_EQ(survivor.values(), std::vector<double>(10, 59));
    EXPECT_EQ(stats().graph_bytes, before.graph_bytes);
    EXPECT_EQ(stats().current_bytes, before.current_bytes + 64);
}

TEST(Graph, WithoutMemory_ACaptureFails_AndAnotherOneSucceeds) {
    const TestTensor x(MEZZO_DTYPE_F32, {1024}, std::vector<double>(1024, 3));
    const mezzo_memory_stats before = stats();
    const int64_t limit = before.current_bytes + before.graph_bytes + 8192;
    ASSERT_OK(mezzo_memory_limit_set(kDevice, limit));
    {
        const CaptureScope capture;
        TestTensor first(MEZZO_DTYPE_F32, {1024});
        mezzo_tensor second{};
        const int64_t elements = 1025;
        const std::string text = "tensor_create: 4160 bytes were asked for, " + std::to_string(limit - 4096) +
                                 " are in use and the limit is " + std::to_string(limit);
        EXPECT_EQ(mezzo_tensor_create(&second, kDevice, MEZZO_DTYPE_F32, &elements, 1), MEZZO_STATUS_OUT_OF_MEMORY);
        EXPECT_EQ(std::string(mezzo_last_error()).substr(0, text.size()), text);
        first.destroy();
        // What has been freed counts for what comes.
        EXPECT_OK(mezzo_tensor_create(&second, kDevice, MEZZO_DTYPE_F32, &elements, 1));
        EXPECT_OK(mezzo_tensor_destroy(second));
    }
    EXPECT_EQ(stats().graph_bytes, before.graph_bytes);
    const TestTensor y(MEZZO_DTYPE_F32, {1024});
    ASSERT_OK(mezzo_graph_launch(capture_relu(y, x)));
    EXPECT_TRUE(is_identical(y.values(), std::vector<double>(1024, 3)));
    ASSERT_OK(mezzo_memory_limit_set(kDevice, 0));
}

TEST(Graph, MemoryLimit_CountsWhatGraphsKeep) {
    const TestTensor x(MEZZO_DTYPE_F32, {1024}, std::vector<double>(1024, 1));
    const TestTensor out(MEZZO_DTYPE_F32, {1024});
    ASSERT_OK(mezzo_graph_capture_begin(kDevice));
    {
        const TestTensor temporary(MEZZO_DTYPE_F32, {1024});
        ASSERT_OK(mezzo_relu_forward(temporary, x));
        ASSERT_OK(mezzo_relu_forward(out, temporary));
    }
    const TestGraph graph;
    ASSERT_OK(mezzo_memory_peak_reset(kDevice));
    const mezzo_memory_stats now = stats();
    EXPECT_EQ(now.peak_bytes, now.current_bytes + now.graph_bytes);
    ASSERT_OK(mezzo_memory_limit_set(kDevice, now.peak_bytes + 64));
    mezzo_tensor tensor{};
    const int64_t elements = 32;
    EXPECT_EQ(mezzo_tensor_create(&tensor, kDevice, MEZZO_DTYPE_F32, &elements, 1), MEZZO_STATUS_OUT_OF_MEMORY);
    ASSERT_OK(mezzo_memory_limit_set(kDevice, 0));
}

} // namespace
} // namespace mezzo::testing
