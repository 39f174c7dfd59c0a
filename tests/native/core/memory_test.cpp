// SPDX-License-Identifier: MIT
#include "core/memory.h"

#include "core/tensor.h"

#include "support/status.h"
#include "support/tensor.h"

#include <cstdlib>
#include <set>

namespace mezzo::testing {
namespace {

const mezzo_device kDevice = test_device();

mezzo_memory_stats stats() {
    mezzo_memory_stats stats{};
    EXPECT_OK(mezzo_memory_stats_get(&stats, kDevice));
    return stats;
}

int64_t available() {
    int64_t bytes = -1;
    EXPECT_OK(mezzo_memory_available(&bytes, kDevice));
    return bytes;
}

mezzo_status create_bytes(int64_t bytes) {
    mezzo_tensor tensor{};
    const mezzo_status status = mezzo_tensor_create(&tensor, kDevice, MEZZO_DTYPE_U8, &bytes, 1);
    EXPECT_OK(mezzo_tensor_destroy(tensor));
    return status;
}

/// A source with a fixed capacity that knows what it has given out.
class CountingSource final : public MemorySource {
  public:
    explicit CountingSource(int64_t capacity) : capacity_(capacity) {}
    ~CountingSource() { EXPECT_EQ(used_, 0) << "blocks were not given back"; }

    void *allocate_block(int64_t bytes) noexcept override {
        if (bytes > capacity_ - used_) return nullptr;
        ++allocations;
        used_ += bytes;
        return std::aligned_alloc(kMemoryAlignment, static_cast<size_t>(bytes));
    }
    void free_block(void *block, int64_t bytes) noexcept override {
        used_ -= bytes;
        std::free(block);
    }

    int allocations = 0;

  private:
    int64_t capacity_;
    int64_t used_ = 0;
};

TEST(Memory, Stats_CountTensorsInUnitsOf64Bytes) {
    const mezzo_memory_stats before = stats();
    {
        const TestTensor small(MEZZO_DTYPE_U8, {1});
        const TestTensor large(MEZZO_DTYPE_F32, {17});
        const TestTensor view = large.view(0, {17});
        EXPECT_EQ(stats().current_bytes, before.current_bytes + 64 + 128);
        EXPECT_EQ(stats().live_tensors, before.live_tensors + 3);
    }
    EXPECT_EQ(stats().current_bytes, before.current_bytes);
    EXPECT_EQ(stats().live_tensors, before.live_tensors);
}

TEST(Memory, Storage_IsCountedUntilItsLastViewGoes) {
    const int64_t before = stats().current_bytes;
    TestTensor base(MEZZO_DTYPE_F32, {16});
    TestTensor view = base.view(0, {1});
    base.destroy();
    EXPECT_EQ(stats().current_bytes, before + 64);
    view.destroy();
    EXPECT_EQ(stats().current_bytes, before);
}

TEST(Memory, Peak_IsTheLargestSinceTheReset) {
    ASSERT_OK(mezzo_memory_peak_reset(kDevice));
    const int64_t before = stats().current_bytes;
    EXPECT_EQ(stats().peak_bytes, before);
    { const TestTensor tensor(MEZZO_DTYPE_U8, {1 << 20}); }
    EXPECT_EQ(stats().current_bytes, before);
    EXPECT_EQ(stats().peak_bytes, before + (1 << 20));
    ASSERT_OK(mezzo_memory_peak_reset(kDevice));
    EXPECT_EQ(stats().peak_bytes, before);
}

TEST(Memory, Trim_GivesTheCacheBack) {
    ASSERT_OK(create_bytes(4096));
    EXPECT_GE(stats().cached_bytes, 4096);
    ASSERT_OK(mezzo_memory_trim(kDevice));
    EXPECT_EQ(stats().cached_bytes, 0);
}

TEST(Memory, Limit_TurnsLargerAllocationsDown) {
    const int64_t limit = stats().current_bytes + 1024;
    ASSERT_OK(mezzo_memory_limit_set(kDevice, limit));
    EXPECT_OK(create_bytes(1024));
    EXPECT_EQ(create_bytes(1025), MEZZO_STATUS_OUT_OF_MEMORY);
    const std::string expected = "tensor_create: 1088 bytes were asked for, " + std::to_string(limit - 1024) +
                                 " are in use and the limit is " + std::to_string(limit);
    EXPECT_EQ(mezzo_last_error(), expected);
    ASSERT_OK(mezzo_memory_limit_set(kDevice, 0));
    EXPECT_OK(create_bytes(1025));
    EXPECT_FAILS(mezzo_memory_limit_set(kDevice, -1), INVALID_ARGUMENT,
                 "memory_limit_set: bytes is -1, expected 0 (no limit) or more");
}

TEST(Memory, Available_IsWhatTheLimitLeaves) {
    EXPECT_GT(available(), 1 << 20);
    const mezzo_memory_stats before = stats();
    const int64_t limit = before.current_bytes + before.graph_bytes + 4096;
    ASSERT_OK(mezzo_memory_limit_set(kDevice, limit));
    EXPECT_EQ(available(), 4096);
    {
        const TestTensor tensor(MEZZO_DTYPE_U8, {1000});
        EXPECT_EQ(available(), 4096 - 1024);
    }
    EXPECT_EQ(available(), 4096); // what is cached counts
    EXPECT_OK(create_bytes(4096));
    EXPECT_EQ(create_bytes(4097), MEZZO_STATUS_OUT_OF_MEMORY);
    {
        const TestTensor tensor(MEZZO_DTYPE_U8, {1000});
        ASSERT_OK(mezzo_memory_limit_set(kDevice, 1));
        EXPECT_EQ(available(), 0);
    }
    ASSERT_OK(mezzo_memory_limit_set(kDevice, 0));
    EXPECT_GT(available(), 1 << 20);
}

TEST(Memory, OfAMissingDevice_IsUnavailable) {
    const mezzo_device cuda{MEZZO_DEVICE_TYPE_CUDA, 99};
    mezzo_memory_stats unchanged{1, 2, 3, 4, 5};
    EXPECT_EQ(mezzo_memory_stats_get(&unchanged, cuda), MEZZO_STATUS_DEVICE_UNAVAILABLE);
    EXPECT_EQ(unchanged.peak_bytes, 2);
    EXPECT_EQ(mezzo_memory_peak_reset(cuda), MEZZO_STATUS_DEVICE_UNAVAILABLE);
    EXPECT_EQ(mezzo_memory_trim(cuda), MEZZO_STATUS_DEVICE_UNAVAILABLE);
    EXPECT_EQ(mezzo_memory_available(&unchanged.peak_bytes, cuda), MEZZO_STATUS_DEVICE_UNAVAILABLE);
    EXPECT_EQ(unchanged.peak_bytes, 2);
    EXPECT_EQ(mezzo_memory_limit_set(cuda, 0), MEZZO_STATUS_DEVICE_UNAVAILABLE);
    EXPECT_FAILS(mezzo_memory_stats_get(nullptr, kDevice), INVALID_ARGUMENT,
                 "memory_stats_get: out_stats is a null pointer");
    EXPECT_FAILS(mezzo_memory_available(nullptr, kDevice), INVALID_ARGUMENT,
                 "memory_available: out_bytes is a null pointer");
}

TEST(Allocator, Release_KeepsTheBlockForTheSameSize) {
    CountingSource source(1 << 20);
    Allocator allocator(source);
    void *first = allocator.allocate(100);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % kMemoryAlignment, 0u);
    allocator.release(first, 100);
    EXPECT_EQ(allocator.stats().cached_bytes, 128);
    EXPECT_EQ(allocator.allocate(128), first);
    EXPECT_EQ(allocator.stats().cached_bytes, 0);
    EXPECT_EQ(source.allocations, 1);
    allocator.release(first, 128);
}

TEST(Allocator, OutOfMemory_TriesAgainWithoutTheCache) {
    CountingSource source(1024);
    Allocator allocator(source);
    allocator.release(allocator.allocate(512), 512);
    void *whole = allocator.allocate(1024); // only fits once the 512 cached bytes are given back
    EXPECT_EQ(allocator.stats().cached_bytes, 0);
    EXPECT_THROW(allocator.allocate(1), Error);
    EXPECT_EQ(allocator.stats().current_bytes, 1024) << "a failed allocation was counted";
    allocator.release(whole, 1024);
}

TEST(Allocator, Available_OfASourceThatDoesNotKnow_IsWhatIsCached) {
    CountingSource source(1 << 20);
    Allocator allocator(source);
    EXPECT_EQ(allocator.available_bytes(), 0);
    allocator.release(allocator.allocate(512), 512);
    EXPECT_EQ(allocator.available_bytes(), 512);
}

TEST(Allocator, Cache_OfChangingSizes_StaysBounded) {
    CountingSource source(int64_t{1} << 40);
    Allocator allocator(source);
    constexpr int64_t kLargest = 64 * 100;
    for (int64_t bytes = 64; bytes <= kLargest; bytes += 64) {
        allocator.release(allocator.allocate(bytes), bytes);
        EXPECT_LE(allocator.stats().cached_bytes, 2 * kLargest);
    }
}

TEST(Scratch, IsCountedWhileItLives) {
    CountingSource source(1 << 20);
    Allocator allocator(source);
    {
        const Scratch<double> scratch(allocator, 9);
        scratch[8] = 1;
        EXPECT_EQ(allocator.stats().current_bytes, 128);
        EXPECT_EQ(allocator.stats().live_tensors, 0);
    }
    EXPECT_EQ(allocator.stats().current_bytes, 0);
    EXPECT_EQ(allocator.stats().peak_bytes, 128);
}

TEST(Scratch, OfTooManyBytes_IsOutOfMemory) {
    CountingSource source(1 << 20);
    Allocator allocator(source);
    EXPECT_FAILS(guard("op", [&] { const Scratch<double> scratch(allocator, int64_t{1} << 61); }), OUT_OF_MEMORY,
                 "op: scratch memory of 2305843009213693952 elements has more than 2^63 - 1 bytes");
}

#if defined(__SANITIZE_ADDRESS__)
TEST(MemoryDeathTestOnCpu, Element_PastTheLast_IsOutOfBounds) {
    const TestTensor tensor(MEZZO_DTYPE_F32, {3});
    EXPECT_DEATH(
        {
            const TensorRef ref = require_tensor(tensor, "tensor");
            static_cast<volatile float *>(ref.data<float>())[3] = 1;
        },
        "use-after-poison");
}
#endif

} // namespace
} // namespace mezzo::testing
