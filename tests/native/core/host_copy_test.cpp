// SPDX-License-Identifier: MIT
// What is filled by an op and overwritten by the next one shows copying that does not wait: on a simulated device work
// runs late and in any order that streams allow. Hence the rounds, each of which meets another order.
#include "core/device.h"

#include <mezzo/ops.h>

#include "support/oracle.h"
#include "support/status.h"

#include <atomic>
#include <cstdio>
#include <random>
#include <string>
#include <thread>

namespace mezzo::testing {
namespace {

const mezzo_device kDevice = test_device();

constexpr int kRounds = 30;
constexpr int64_t kElements = 1024;

/// Owns a copy.
class TestCopy {
  public:
    explicit TestCopy(const TestTensor &tensor) { EXPECT_OK(mezzo_host_copy_create(&handle_, tensor)); }
    ~TestCopy() { destroy(); }
    TestCopy(TestCopy &&other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    TestCopy(const TestCopy &) = delete;
    TestCopy &operator=(const TestCopy &) = delete;

    operator mezzo_host_copy() const { return handle_; }
    void wait() const { EXPECT_OK(mezzo_host_copy_wait(handle_)); }
    void restore(const TestTensor &tensor) const { EXPECT_OK(mezzo_host_copy_restore(tensor, handle_)); }
    void destroy() { EXPECT_OK(mezzo_host_copy_destroy(std::exchange(handle_, {}))); }

  private:
    mezzo_host_copy handle_{};
};

/// A copy that has been waited for.
TestCopy finished_copy(const TestTensor &tensor) {
    TestCopy copy(tensor);
    copy.wait();
    return copy;
}

TestTensor vector_of_f32() {
    return TestTensor(MEZZO_DTYPE_F32, {kElements});
}

/// A tensor that an op fills.
TestTensor filled(double value) {
    TestTensor tensor = vector_of_f32();
    EXPECT_OK(mezzo_fill(tensor, value));
    return tensor;
}

bool holds(const TestTensor &tensor, double value) {
    const std::vector<double> values = tensor.values();
    return static_cast<bool>(is_identical(values, std::vector<double>(values.size(), value)));
}

mezzo_memory_stats stats() {
    mezzo_memory_stats stats{};
    EXPECT_OK(mezzo_memory_stats_get(&stats, kDevice));
    return stats;
}

mezzo_memory_stats host_stats() {
    return require_device(kDevice).host_memory().stats();
}

/// Owns what `issue` has recorded.
class TestGraph {
  public:
    template <class Issue>
    explicit TestGraph(const Issue &issue) {
        EXPECT_OK(mezzo_graph_capture_begin(kDevice));
        issue();
        EXPECT_OK(mezzo_graph_capture_end(&handle_, kDevice));
    }
    ~TestGraph() { EXPECT_OK(mezzo_graph_destroy(handle_)); }
    TestGraph(const TestGraph &) = delete;
    TestGraph &operator=(const TestGraph &) = delete;

    void launch() const { EXPECT_OK(mezzo_graph_launch(handle_)); }

    mezzo_graph_info info() const {
        mezzo_graph_info info{};
        EXPECT_OK(mezzo_graph_describe(&info, handle_));
        return info;
    }

  private:
    mezzo_graph handle_{};
};

TEST(HostCopy, RoundTrip_OfEveryDType_KeepsEachByte) {
    std::mt19937_64 random(1);
    for (const mezzo_dtype dtype : kDTypes) {
        for (const Shape &shape : {Shape{}, Shape{1}, Shape{3, 5}, Shape{kElements + 1}}) {
            TestTensor tensor(dtype, shape);
            std::vector<uint8_t> bytes(tensor.bytes().size());
            for (uint8_t &byte : bytes) byte = static_cast<uint8_t>(random());
            ASSERT_OK(mezzo_tensor_write(tensor, bytes.data(), static_cast<int64_t>(bytes.size())));
            const TestCopy copy = finished_copy(tensor);
            tensor.destroy();
            const TestTensor other(dtype, shape);
            copy.restore(other);
            copy.wait();
            EXPECT_EQ(other.bytes(), bytes) << "dtype " << dtype;
        }
    }
}

TEST(HostCopy, OfAView_HoldsItsElementsAloneAndFillsAnother) {
    const TestTensor tensor(MEZZO_DTYPE_F32, {5}, {1, 2, 3, 4, 5});
    const TestTensor other(MEZZO_DTYPE_F32, {5}, {0, 0, 0, 0, 0});
    const TestCopy copy = finished_copy(tensor.view(1, {3}));
    copy.restore(other.view(2, {1, 3})); // of another shape
    copy.wait();
    EXPECT_TRUE(is_identical(other.values(), {0, 0, 2, 3, 4}));
}

TEST(HostCopy, AfterTheWait_TheTensorMayBeOverwritten) {
    const TestTensor back = vector_of_f32();
    for (int round = 0; round < kRounds; ++round) {
        const TestTensor tensor = filled(round);
        const TestCopy copy = finished_copy(tensor);
        ASSERT_OK(mezzo_fill(tensor, -1));
        copy.restore(back);
        copy.wait();
        EXPECT_TRUE(holds(back, round));
        EXPECT_TRUE(holds(tensor, -1));
    }
}

TEST(HostCopy, AfterTheWait_TheTensorsMemoryMayBeUsedAgain) {
    for (int round = 0; round < kRounds; ++round) {
        TestTensor tensor = filled(round);
        const int64_t before = stats().current_bytes;
        const TestCopy copy = finished_copy(tensor);
        tensor.destroy();
        EXPECT_EQ(stats().current_bytes, before - kElements * 4);
        const TestTensor next = filled(-1); // in its memory
        const TestTensor back = vector_of_f32();
        copy.restore(back);
        copy.wait();
        EXPECT_TRUE(holds(back, round));
        EXPECT_TRUE(holds(next, -1));
    }
}

TEST(HostCopy, Restore_ComesAfterTheWorkThatUsesTheTensor) {
    const TestTensor sum = vector_of_f32();
    for (int round = 0; round < kRounds; ++round) {
        const TestTensor tensor = filled(round);
        const TestCopy copy = finished_copy(tensor);
        ASSERT_OK(mezzo_fill(tensor, -1));
        ASSERT_OK(mezzo_add_forward(sum, tensor, tensor));
        copy.restore(tensor);
        copy.wait();
        EXPECT_TRUE(holds(sum, -2));
        EXPECT_TRUE(holds(tensor, round));
    }
}

TEST(HostCopy, Restored_AnyNumberOfTimes_FillsEachTensor) {
    for (int round = 0; round < kRounds; ++round) {
        const TestTensor first = vector_of_f32(), second = vector_of_f32(), third = vector_of_f32();
        const TestCopy copy(filled(round)); // whose tensor is gone before the first wait
        copy.restore(first);
        copy.restore(second);
        copy.wait(); // for all three
        ASSERT_OK(mezzo_add_forward(first, first, second));
        EXPECT_TRUE(holds(first, 2 * round));
        copy.restore(third);
        copy.wait();
        copy.wait(); // nothing to do
        EXPECT_TRUE(holds(third, round));
    }
}

TEST(HostCopy, ManyUnderWay_KeepApart) {
    constexpr int kCopies = 40;
    std::vector<TestTensor> tensors;
    std::vector<TestCopy> copies;
    for (int i = 0; i < kCopies; ++i) {
        tensors.push_back(filled(i));
        copies.emplace_back(tensors.back());
        if (i % 3 == 0) copies.back().wait();
    }
    for (int i = kCopies; i-- > 0;) {
        copies[static_cast<size_t>(i)].wait();
        tensors[static_cast<size_t>(i)] = TestTensor();
    }
    for (int i = kCopies; i-- > 0;) {
        tensors[static_cast<size_t>(i)] = filled(-1);
        copies[static_cast<size_t>(i)].restore(tensors[static_cast<size_t>(i)]);
    }
    for (int i = 0; i < kCopies; ++i) {
        copies[static_cast<size_t>(i)].wait();
        EXPECT_TRUE(holds(tensors[static_cast<size_t>(i)], i));
    }
}

TEST(HostCopy, ATensorDestroyedBeforeTheWait_IsKeptUntilThen) {
    const int64_t before = stats().current_bytes;
    for (int round = 0; round < kRounds; ++round) {
        const TestCopy copy(filled(round));
        EXPECT_EQ(stats().current_bytes, before + kElements * 4);
        const TestTensor other = filled(-1);
        copy.wait();
        EXPECT_EQ(stats().current_bytes, before + kElements * 4);
        copy.restore(other);
        copy.wait();
        EXPECT_TRUE(holds(other, round));
    }
    EXPECT_EQ(stats().current_bytes, before);
}

// Neither the tensor's memory nor the host's may go to others before the copying is over.
TEST(HostCopy, DestroyedBeforeTheWait_DisturbsNobody) {
    const int64_t before = stats().current_bytes;
    for (int round = 0; round < kRounds; ++round) {
        TestCopy given_up(filled(-1));
        given_up.destroy();
        const TestTensor tensor = filled(round);
        TestCopy copy(tensor);
        copy.wait();
        const TestTensor back = vector_of_f32();
        copy.restore(back);
        copy.destroy();
        const TestTensor other = filled(-2);
        const TestCopy next(other);
        EXPECT_TRUE(holds(back, round));
        EXPECT_TRUE(holds(tensor, round));
        next.wait();

        TestCopy restored_late = finished_copy(tensor);
        TestTensor overwritten = vector_of_f32();
        restored_late.restore(overwritten);
        restored_late.destroy();
        overwritten.destroy();
        EXPECT_TRUE(holds(filled(-3), -3)); // in its memory
    }
    EXPECT_EQ(stats().current_bytes, before);
}

TEST(HostCopy, HostMemory_IsUsedAgainAndGivenBackByTrim) {
    const TestTensor tensor = filled(1);
    ASSERT_OK(mezzo_memory_trim(kDevice));
    const mezzo_memory_stats before = host_stats();
    for (int round = 0; round < kRounds; ++round) finished_copy(tensor);
    EXPECT_EQ(host_stats().current_bytes, before.current_bytes);
    EXPECT_EQ(host_stats().cached_bytes, before.cached_bytes + kElements * 4);
    ASSERT_OK(mezzo_memory_trim(kDevice));
    EXPECT_EQ(host_stats().cached_bytes, 0);
}

TEST(HostCopy, Trim_WaitsForTheCopyingFromWhatItGivesBack) {
    const TestTensor tensor = vector_of_f32(), back = vector_of_f32();
    for (int round = 0; round < kRounds; ++round) {
        ASSERT_OK(mezzo_fill(tensor, round));
        TestCopy copy = finished_copy(tensor);
        copy.restore(back);
        copy.wait();
        copy.destroy();
        ASSERT_OK(mezzo_memory_trim(kDevice));
        EXPECT_TRUE(holds(back, round));
    }
}

// A block that is used again may still be read from: the next copying into it comes behind.
TEST(HostCopy, HostMemoryUsedAgain_WhileACopyIsRestored_KeepsBothApart) {
    for (int round = 0; round < kRounds; ++round) {
        const TestTensor first = filled(round), second = filled(-round), back = vector_of_f32();
        TestCopy copy = finished_copy(first);
        copy.restore(back);
        copy.wait();
        copy.destroy();
        const TestCopy next = finished_copy(second); // in the same block
        EXPECT_TRUE(holds(back, round));
        next.restore(back);
        next.wait();
        EXPECT_TRUE(holds(back, -round));
    }
}

TEST(HostCopy, OfSeveralThreads_KeepApart) {
    std::vector<std::thread> threads;
    for (int thread = 1; thread <= 4; ++thread) {
        threads.emplace_back([thread] {
            for (int round = 0; round < kRounds; ++round) {
                const int value = thread * kRounds + round;
                TestTensor tensor = filled(value);
                const TestCopy copy = finished_copy(tensor);
                tensor.destroy();
                const TestTensor back = filled(-1);
                copy.restore(back);
                copy.wait();
                EXPECT_TRUE(holds(back, value));
            }
        });
    }
    for (std::thread &thread : threads) thread.join();
}

TEST(HostCopy, Captured_CopiesAnewInEachLaunch) {
    const TestTensor tensor = vector_of_f32(), back = vector_of_f32();
    const TestGraph graph([&] {
        TestCopy copy = finished_copy(tensor);
        EXPECT_OK(mezzo_fill(tensor, -1));
        EXPECT_OK(mezzo_fill(back, -2));
        copy.restore(back);
        copy.wait();
        EXPECT_OK(mezzo_add_forward(back, back, tensor));
    });
    for (int round = 0; round < kRounds; ++round) {
        ASSERT_OK(mezzo_fill(tensor, round));
        graph.launch();
        EXPECT_TRUE(holds(back, round - 1));
        EXPECT_TRUE(holds(tensor, -1));
    }
}

// The step of a training that moves activations out: their memory serves the next ones, within one graph.
TEST(HostCopy, Captured_OfTensorsOfTheCapture_LetsTheirMemoryBeUsedAgain) {
    constexpr int kLayers = 6;
    const TestTensor input = vector_of_f32(), sum = vector_of_f32();
    const int64_t host_before = host_stats().graph_bytes;
    const TestGraph graph([&] {
        std::vector<TestCopy> copies;
        for (int layer = 0; layer < kLayers; ++layer) {
            TestTensor activation = vector_of_f32();
            EXPECT_OK(mezzo_scale_forward(activation, input, layer + 1, {}));
            copies.push_back(finished_copy(activation));
        }
        EXPECT_OK(mezzo_fill(sum, 0));
        for (int layer = kLayers; layer-- > 0; copies.pop_back()) {
            const TestTensor activation = vector_of_f32();
            copies.back().restore(activation);
            copies.back().wait();
            EXPECT_OK(mezzo_add_forward(sum, sum, activation));
        }
        for (int i = 0; i < kLayers; ++i) finished_copy(input); // in the host memory of those before
    });
    EXPECT_EQ(graph.info().memory_bytes, kElements * 4) << "one tensor at a time";
    EXPECT_EQ(host_stats().graph_bytes, host_before + kLayers * kElements * 4);
    EXPECT_EQ(graph.info().ops, kLayers * 3 + 1 + kLayers * 3 + kLayers * 2);
    for (int round = 0; round < kRounds; ++round) {
        ASSERT_OK(mezzo_fill(input, round));
        graph.launch();
        EXPECT_TRUE(holds(sum, round * 21));
    }
}

TEST(HostCopy, ACopyOfTheCapture_MayOutliveTheGraph) {
    const TestTensor tensor = vector_of_f32(), back = vector_of_f32();
    const mezzo_memory_stats before = host_stats();
    std::vector<TestCopy> copies;
    {
        const TestGraph graph([&] { copies.push_back(finished_copy(tensor)); });
        for (int round = 0; round < kRounds; ++round) {
            ASSERT_OK(mezzo_fill(tensor, round));
            graph.launch();
            ASSERT_OK(mezzo_fill(tensor, -1));
            copies[0].restore(back);
            copies[0].wait();
            EXPECT_TRUE(holds(back, round));
        }
    }
    ASSERT_OK(mezzo_fill(back, -1));
    copies[0].restore(back);
    copies[0].wait();
    EXPECT_TRUE(holds(back, kRounds - 1)) << "the latest launch";
    copies.clear();
    EXPECT_EQ(host_stats().current_bytes, before.current_bytes);
    EXPECT_EQ(host_stats().graph_bytes, before.graph_bytes);
}

TEST(HostCopy, ACopyFromOutside_IsKeptByTheGraphThatRestoresIt) {
    const TestTensor back = vector_of_f32();
    const mezzo_memory_stats before = host_stats();
    for (const bool waited_for : {false, true}) {
        for (int round = 0; round < kRounds; ++round) {
            TestCopy copy(filled(round));
            if (waited_for) copy.wait();
            const TestGraph graph([&] {
                EXPECT_OK(mezzo_fill(back, -1));
                copy.restore(back);
                copy.wait();
                EXPECT_OK(mezzo_add_forward(back, back, back));
            });
            copy.destroy();
            EXPECT_EQ(host_stats().current_bytes, before.current_bytes + kElements * 4);
            const TestTensor other = filled(-2);
            const TestCopy next = finished_copy(other); // not in its memory
            for (int launch = 0; launch < 2; ++launch) {
                graph.launch();
                EXPECT_TRUE(holds(back, 2 * round));
            }
        }
    }
    EXPECT_EQ(host_stats().current_bytes, before.current_bytes);
}

// In CUDA, to wait in a capture for what was begun before it breaks the capture.
TEST(HostCopy, Wait_InACaptureForACopyFromOutside_RecordsNothing) {
    const TestTensor tensor = filled(3), back = vector_of_f32();
    const TestCopy copy(tensor);
    const TestGraph graph([&] {
        copy.wait();
        copy.wait();
        EXPECT_OK(mezzo_fill(tensor, 4));
    });
    EXPECT_EQ(graph.info().ops, 1);
    graph.launch();
    copy.restore(back);
    copy.wait();
    EXPECT_TRUE(holds(back, 3));
    EXPECT_TRUE(holds(tensor, 4));
}

TEST(HostCopy, ACapture_EndsAfterCopyingThatWasNotWaitedFor) {
    const TestTensor tensor = vector_of_f32(), back = vector_of_f32();
    for (int round = 0; round < kRounds; ++round) {
        std::vector<TestCopy> kept;
        const TestGraph graph([&] {
            EXPECT_OK(mezzo_fill(tensor, round));
            kept.emplace_back(tensor);
            TestCopy given_up(tensor);
            const TestTensor next = vector_of_f32();
            given_up.restore(next);
            given_up.destroy();
            EXPECT_OK(mezzo_fill(back, -1));
            kept.back().restore(back);
        });
        graph.launch();
        ASSERT_OK(mezzo_fill(tensor, -2));
        EXPECT_TRUE(holds(back, round));
        kept.back().wait(); // comes after the launch anyway
        kept.back().restore(back);
        kept.back().wait();
        EXPECT_TRUE(holds(back, round));
    }
}

// What was given up in a capture is kept for its end, in which the memory may not be used again before.
TEST(HostCopy, DestroyedInACaptureBeforeTheWait_DisturbsNobody) {
    const TestTensor out = vector_of_f32(), back = vector_of_f32();
    const int64_t before = stats().current_bytes;
    {
        const TestGraph graph([&] {
            for (int i = 0; i < 5; ++i) {
                TestTensor tensor = vector_of_f32();
                EXPECT_OK(mezzo_fill(tensor, 1));
                TestCopy copy = finished_copy(tensor);
                tensor.destroy();
                TestTensor restored = vector_of_f32();
                copy.restore(restored); // nobody waits
                copy.destroy();
                restored.destroy();
                const TestTensor next = vector_of_f32();
                EXPECT_OK(mezzo_fill(next, 2));
                EXPECT_OK(mezzo_add_forward(out, next, next));
                const TestCopy other(next);
                EXPECT_OK(mezzo_host_copy_wait(other));
                other.restore(back);
                other.wait();
            }
        });
        for (int round = 0; round < kRounds; ++round) {
            ASSERT_OK(mezzo_fill(out, -1));
            graph.launch();
            EXPECT_TRUE(holds(out, 4));
            EXPECT_TRUE(holds(back, 2));
        }
    }
    EXPECT_EQ(stats().current_bytes, before);
}

TEST(HostCopy, Abort_DropsTheCopying) {
    const TestTensor tensor = filled(1), back = filled(-1);
    const mezzo_memory_stats before = stats(), host_before = host_stats();
    for (const bool waited_for : {false, true}) {
        ASSERT_OK(mezzo_graph_capture_begin(kDevice));
        std::vector<TestCopy> kept;
        {
            const TestTensor temporary = filled(2);
            kept.emplace_back(temporary);
            TestCopy given_up(temporary);
            given_up.destroy();
            kept.back().restore(back);
            if (waited_for) kept.back().wait();
        }
        ASSERT_OK(mezzo_graph_capture_abort(kDevice));
        EXPECT_TRUE(holds(back, -1)) << "it ran";
        kept.back().wait();
        const TestCopy copy = finished_copy(tensor); // at once again
        const TestTensor other = vector_of_f32();
        copy.restore(other);
        copy.wait();
        EXPECT_TRUE(holds(other, 1));
    }
    EXPECT_EQ(stats().current_bytes, before.current_bytes);
    EXPECT_EQ(stats().graph_bytes, before.graph_bytes);
    EXPECT_EQ(host_stats().current_bytes, host_before.current_bytes);
    EXPECT_EQ(host_stats().graph_bytes, host_before.graph_bytes);
}

TEST(HostCopy, Signature_IsThatOfTheSameStepWithNewCopiesAndTellsOthers) {
    const TestTensor x = filled(1), y = filled(2), out = vector_of_f32();
    const auto signature = [&](bool in_order, const TestTensor &second) {
        return TestGraph([&] {
                   const TestCopy first_copy = finished_copy(x), second_copy = finished_copy(second);
                   (in_order ? first_copy : second_copy).restore(out);
                   (in_order ? first_copy : second_copy).wait();
               })
            .info()
            .signature;
    };
    const uint64_t expected = signature(true, y);
    EXPECT_EQ(signature(true, y), expected);
    EXPECT_NE(signature(true, x), expected);
    EXPECT_NE(signature(false, y), expected);

    const TestCopy a = finished_copy(x), b = finished_copy(x);
    const auto restored = [&](const TestCopy &copy) { return TestGraph([&] { copy.restore(out); }).info().signature; };
    EXPECT_EQ(restored(a), restored(a));
    EXPECT_NE(restored(a), restored(b));
}

TEST(HostCopy, OtherThreads_DuringACapture_AreTurnedAwayButMayDestroy) {
    const TestTensor tensor = filled(1), back = filled(-1);
    TestCopy outside(tensor), waited_for = finished_copy(tensor);
    std::vector<TestCopy> captured;
    const std::string under_way = ": " + device_name_of(kDevice) + " is being captured by another thread";
    {
        const TestGraph graph([&] {
            captured.emplace_back(tensor);
            captured.push_back(finished_copy(tensor));
            captured.emplace_back(tensor);
            std::thread([&] {
                mezzo_host_copy copy{};
                EXPECT_FAILS(mezzo_host_copy_create(&copy, tensor), CAPTURE_INVALID,
                             ("host_copy_create" + under_way).c_str());
                EXPECT_EQ(copy.id, 0u);
                EXPECT_FAILS(mezzo_host_copy_wait(waited_for), CAPTURE_INVALID, ("host_copy_wait" + under_way).c_str());
                EXPECT_FAILS(mezzo_host_copy_restore(back, waited_for), CAPTURE_INVALID,
                             ("host_copy_restore" + under_way).c_str());
                outside.destroy();
                waited_for.destroy();
                captured[0].destroy();
                captured[1].destroy();
            }).join();
            captured[2].wait();
            EXPECT_OK(mezzo_fill(tensor, -1));
        });
        for (int round = 0; round < kRounds; ++round) {
            ASSERT_OK(mezzo_fill(tensor, round));
            graph.launch();
            captured[2].restore(back);
            captured[2].wait();
            EXPECT_TRUE(holds(back, round));
        }
    }
}

// Each call of the other thread is done at once or turned away; what it destroys it may destroy at any time.
TEST(HostCopy, Capture_BesideAThreadThatCopies_RecordsItsOwnAlone) {
    const TestTensor tensor = filled(3), back = vector_of_f32();
    std::atomic<bool> stop{false};
    std::atomic<int> turned_away{0}, done{0}, wrong{0};
    std::thread other([&] {
        const TestTensor own(MEZZO_DTYPE_F32, {64});
        const auto is_done = [&](mezzo_status status) {
            (status == MEZZO_STATUS_OK ? done : turned_away) += 1;
            wrong += status != MEZZO_STATUS_OK && status != MEZZO_STATUS_CAPTURE_INVALID;
            return status == MEZZO_STATUS_OK;
        };
        while (!stop) {
            mezzo_host_copy copy{};
            if (is_done(mezzo_host_copy_create(&copy, own)) && is_done(mezzo_host_copy_wait(copy))) {
                is_done(mezzo_host_copy_restore(own, copy));
            }
            wrong += mezzo_host_copy_destroy(copy) != MEZZO_STATUS_OK;
        }
    });
    for (int i = 0; i < 300 || ((done < 20 || turned_away < 20) && i < 30000); ++i) {
        const TestGraph graph([&] {
            const TestCopy copy = finished_copy(tensor);
            copy.restore(back);
            copy.wait();
        });
        EXPECT_EQ(graph.info().ops, 4);
        graph.launch();
        if (::testing::Test::HasFailure()) break;
    }
    stop = true;
    other.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_GE(done, 20);
    EXPECT_TRUE(holds(back, 3));
}

TEST(HostCopy, ATensorThatDoesNotFit_IsRejected) {
    const TestTensor tensor(MEZZO_DTYPE_F32, {2, 3}, {1, 2, 3, 4, 5, 6});
    const TestCopy copy = finished_copy(tensor);
    const TestTensor half(MEZZO_DTYPE_F16, {2, 3}), shorter(MEZZO_DTYPE_F32, {5});
    EXPECT_FAILS(mezzo_host_copy_restore(half, copy), DTYPE_MISMATCH,
                 "host_copy_restore: out_tensor is f16[2,3], expected dtype f32 as copy");
    EXPECT_FAILS(mezzo_host_copy_restore(shorter, copy), SHAPE_MISMATCH,
                 "host_copy_restore: out_tensor is f32[5] with 5 elements, expected 6 as in copy");
    copy.wait();
}

TEST(HostCopy, BadHandlesAndPointers_AreRejected) {
    const TestTensor tensor = filled(1);
    TestCopy copy(tensor);
    const mezzo_host_copy stale = copy;
    copy.destroy();
    const std::string text = "copy is 0x" + [&] {
        char digits[17];
        std::snprintf(digits, sizeof digits, "%llx", static_cast<unsigned long long>(stale.id));
        return std::string(digits);
    }() + ", which is not the handle of a live copy";
    EXPECT_FAILS(mezzo_host_copy_wait(stale), INVALID_HANDLE, ("host_copy_wait: " + text).c_str());
    EXPECT_FAILS(mezzo_host_copy_restore(tensor, stale), INVALID_HANDLE, ("host_copy_restore: " + text).c_str());
    EXPECT_FAILS(mezzo_host_copy_destroy(stale), INVALID_HANDLE, ("host_copy_destroy: " + text).c_str());
    EXPECT_FAILS(mezzo_host_copy_wait({}), INVALID_HANDLE, "host_copy_wait: copy is the null copy");
    EXPECT_FAILS(mezzo_host_copy_restore(tensor, {}), INVALID_HANDLE, "host_copy_restore: copy is the null copy");
    EXPECT_OK(mezzo_host_copy_destroy({}));
    EXPECT_FAILS(mezzo_host_copy_wait({77}), INVALID_HANDLE,
                 "host_copy_wait: copy is 0x4d, which is not the handle of a live copy");

    mezzo_host_copy unchanged{5};
    EXPECT_FAILS(mezzo_host_copy_create(nullptr, tensor), INVALID_ARGUMENT,
                 "host_copy_create: out_copy is a null pointer");
    EXPECT_FAILS(mezzo_host_copy_create(&unchanged, {}), INVALID_HANDLE, "host_copy_create: tensor is the null tensor");
    EXPECT_EQ(unchanged.id, 5u);
    const TestCopy other(tensor);
    EXPECT_FAILS(mezzo_host_copy_restore({}, other), INVALID_HANDLE,
                 "host_copy_restore: out_tensor is the null tensor");
}

} // namespace
} // namespace mezzo::testing
