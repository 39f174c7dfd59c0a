// SPDX-License-Identifier: MIT
#include "core/handle_table.h"

#include "core/tensor.h"
#include "support/status.h"
#include "support/tensor.h"

#include <atomic>
#include <random>
#include <set>
#include <thread>

namespace mezzo::testing {
namespace {

TEST(Handle, Destroyed_IsInvalidEverywhere) {
    TestTensor tensor(MEZZO_DTYPE_F32, {2});
    const mezzo_tensor stale = tensor;
    tensor.destroy();
    char text[96];
    std::snprintf(text, sizeof text, "tensor_destroy: tensor is 0x%llx, which is not the handle of a live tensor",
                  static_cast<unsigned long long>(stale.id));
    EXPECT_FAILS(mezzo_tensor_destroy(stale), INVALID_HANDLE, text);

    mezzo_tensor_info info{};
    mezzo_tensor view{};
    float data[2] = {};
    EXPECT_EQ(mezzo_tensor_describe(&info, stale), MEZZO_STATUS_INVALID_HANDLE);
    EXPECT_EQ(mezzo_tensor_view(&view, stale, 0, nullptr, 0), MEZZO_STATUS_INVALID_HANDLE);
    EXPECT_EQ(mezzo_tensor_write(stale, data, sizeof data), MEZZO_STATUS_INVALID_HANDLE);
    EXPECT_EQ(mezzo_tensor_read(data, stale, sizeof data), MEZZO_STATUS_INVALID_HANDLE);
    EXPECT_EQ(mezzo_tensor_copy(stale, stale), MEZZO_STATUS_INVALID_HANDLE);
}

TEST(Handle, Stale_StaysInvalidWhenItsSlotIsUsedAgain) {
    TestTensor first(MEZZO_DTYPE_F32, {2});
    const mezzo_tensor stale = first;
    first.destroy();
    const TestTensor second(MEZZO_DTYPE_F32, {2});
    EXPECT_EQ(static_cast<uint32_t>(second.handle().id), static_cast<uint32_t>(stale.id)) << "the slot was not reused";
    EXPECT_EQ(mezzo_tensor_destroy(stale), MEZZO_STATUS_INVALID_HANDLE);
    EXPECT_EQ(second.info().elements, 2);
}

TEST(Handle, Null_IsIgnoredByDestroyAndNamedByOthers) {
    EXPECT_OK(mezzo_tensor_destroy({}));
    mezzo_tensor_info info{};
    EXPECT_FAILS(mezzo_tensor_describe(&info, {}), INVALID_HANDLE, "tensor_describe: tensor is the null tensor");
}

TEST(Handle, MadeUp_IsInvalid) {
    const TestTensor live(MEZZO_DTYPE_F32, {2});
    mezzo_tensor_info info{};
    for (uint64_t id = 1; id <= 4096; ++id) {
        EXPECT_EQ(mezzo_tensor_describe(&info, {id}), MEZZO_STATUS_INVALID_HANDLE) << id;
    }
    const uint64_t id = live.handle().id;
    for (int bit = 0; bit < 64; ++bit) {
        EXPECT_EQ(mezzo_tensor_describe(&info, {id ^ uint64_t{1} << bit}), MEZZO_STATUS_INVALID_HANDLE) << bit;
    }
    EXPECT_EQ(mezzo_tensor_describe(&info, {~uint64_t{0}}), MEZZO_STATUS_INVALID_HANDLE);
}

TEST(HandleTable, GivesEachLiveObjectAnotherHandle) {
    HandleTable<int> table;
    std::set<uint64_t> handles;
    for (int i = 0; i < 1000; ++i) handles.insert(table.insert(std::make_shared<const int>(i)));
    EXPECT_EQ(handles.size(), 1000u);
    EXPECT_EQ(*table.find(*handles.begin()), 0);
    for (const uint64_t handle : handles) EXPECT_NE(table.remove(handle), nullptr);
    for (const uint64_t handle : handles) EXPECT_EQ(table.find(handle), nullptr);
}

TEST(HandleTable, Lookup_KeepsTheObjectAlive) {
    HandleTable<int> table;
    const uint64_t handle = table.insert(std::make_shared<const int>(5));
    const std::shared_ptr<const int> held = table.find(handle);
    table.remove(handle);
    EXPECT_EQ(*held, 5);
}

TEST(Handle, DestroyedWhileAnOpRuns_LeavesTheOpItsElements) {
    TestTensor tensor(MEZZO_DTYPE_F32, {3}, {1, 2, 3});
    const TensorRef running = require_tensor(tensor, "input");
    tensor.destroy();
    float elements[3] = {};
    running.device().copy_to_host(elements, running.data<const float>(), sizeof(elements));
    EXPECT_EQ(elements[2], 3.0f);
    EXPECT_EQ(running.text(), "f32[3]");
}

// Every thread makes, uses and destroys its own tensors, and meddles with those of the others and with
// handles that were never issued. Whatever happens, each call answers with one of three statuses.
TEST(Handle, UsedByManyThreadsAtOnce_NeverCrashes) {
    constexpr int kThreads = 8;
    constexpr int kRounds = 3000;
    std::atomic<uint64_t> shared[kThreads] = {};
    const auto work = [&](int self) {
        std::mt19937_64 random(static_cast<uint64_t>(self));
        const int64_t shape[] = {int64_t{16} + self};
        float data[16 + kThreads] = {};
        for (int round = 0; round < kRounds; ++round) {
            mezzo_tensor own{};
            ASSERT_OK(mezzo_tensor_create(&own, {}, MEZZO_DTYPE_F32, shape, 1));
            shared[self] = own.id;
            mezzo_tensor_info info{};
            const mezzo_tensor other{shared[random() % kThreads].load()};
            const mezzo_tensor forged{random()};
            const mezzo_status described = mezzo_tensor_describe(&info, other);
            EXPECT_TRUE(described == MEZZO_STATUS_OK || described == MEZZO_STATUS_INVALID_HANDLE);
            EXPECT_EQ(mezzo_tensor_describe(&info, forged), MEZZO_STATUS_INVALID_HANDLE);
            EXPECT_EQ(mezzo_tensor_destroy(forged), MEZZO_STATUS_INVALID_HANDLE);
            mezzo_tensor view{};
            const mezzo_status viewed = mezzo_tensor_view(&view, other, 0, nullptr, 0);
            EXPECT_TRUE(viewed == MEZZO_STATUS_OK || viewed == MEZZO_STATUS_INVALID_HANDLE);
            EXPECT_OK(mezzo_tensor_destroy(view));
            // Another thread may have destroyed it: then the call says so, and nothing else.
            const int64_t bytes = shape[0] * static_cast<int64_t>(sizeof(float));
            const mezzo_status read = mezzo_tensor_read(data, own, bytes);
            EXPECT_TRUE(read == MEZZO_STATUS_OK || read == MEZZO_STATUS_INVALID_HANDLE);
            if (round % 3 == 0) static_cast<void>(mezzo_tensor_destroy(other));
            static_cast<void>(mezzo_tensor_destroy(own));
        }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
    for (std::thread &thread : threads) thread.join();
}

} // namespace
} // namespace mezzo::testing
