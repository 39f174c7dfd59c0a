// SPDX-License-Identifier: MIT
// Device memory: limits, contents, protection, misuse.
#include "simulator_test.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <sys/mman.h>

namespace mezzo::cuda_sim::testing {
namespace {

using MemoryTest = SimulatorTest;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif

size_t free_bytes() {
    size_t free = 0;
    size_t total = 0;
    EXPECT_CUDA(cudaSuccess, cudaMemGetInfo(&free, &total));
    return free;
}

TEST_F(MemoryTest, FreshMemoryHoldsNan) {
    const TestStream stream;
    for (int round = 0; round < 3; ++round) {
        const DeviceArray<float> array(1000);
        for (const float value : array.values()) ASSERT_TRUE(std::isnan(value));
        ASSERT_CUDA(cudaMemset(array, 0, array.bytes())); // what the next round must not see
        float *pooled = nullptr;
        ASSERT_CUDA(cudaMallocAsync(&pooled, 400, stream));
        std::vector<float> values(100);
        ASSERT_CUDA(cudaMemcpyAsync(values.data(), pooled, 400, cudaMemcpyDeviceToHost, stream));
        ASSERT_CUDA(cudaMemsetAsync(pooled, 0, 400, stream));
        ASSERT_CUDA(cudaFreeAsync(pooled, stream));
        ASSERT_CUDA(stream.synchronize());
        for (const float value : values) ASSERT_TRUE(std::isnan(value));
    }
}

TEST_F(MemoryTest, AllocationsAreDisjointAlignedAndGivenBack) {
    const size_t before = free_bytes();
    std::mt19937_64 random(1);
    struct Block {
        char *begin;
        size_t bytes;
        int mark;
    };
    std::vector<Block> blocks;
    for (int step = 0; step < 2000; ++step) {
        if (blocks.size() < 100 && random() % 3 != 0) {
            const size_t bytes = size_t{1} + random() % (size_t{1} << random() % 16);
            Block block{nullptr, bytes, static_cast<int>(random() % 256)};
            ASSERT_CUDA(cudaMalloc(&block.begin, bytes));
            ASSERT_EQ(reinterpret_cast<uintptr_t>(block.begin) % 256, 0u);
            ASSERT_CUDA(cudaMemset(block.begin, block.mark, bytes));
            blocks.push_back(block);
        } else if (!blocks.empty()) {
            std::swap(blocks[random() % blocks.size()], blocks.back());
            const Block block = blocks.back();
            blocks.pop_back();
            std::vector<unsigned char> bytes(block.bytes);
            ASSERT_CUDA(cudaMemcpy(bytes.data(), block.begin, block.bytes, cudaMemcpyDeviceToHost));
            ASSERT_TRUE(std::all_of(bytes.begin(), bytes.end(), [&](int byte) { return byte == block.mark; }));
            ASSERT_CUDA(cudaFree(block.begin));
        }
    }
    for (const Block &block : blocks) ASSERT_CUDA(cudaFree(block.begin));
    EXPECT_EQ(free_bytes(), before);
}

TEST_F(MemoryTest, ADeviceHasAsMuchMemoryAsTheMachineSays) {
    configure({.memory = size_t{1} << 20});
    void *large = nullptr;
    EXPECT_CUDA(cudaErrorMemoryAllocation, cudaMalloc(&large, (size_t{1} << 20) + 1));
    EXPECT_CUDA(cudaErrorMemoryAllocation, cudaMalloc(&large, ~size_t{0} - 100));
    EXPECT_CUDA(cudaErrorMemoryAllocation, cudaGetLastError());
    ASSERT_CUDA(cudaMalloc(&large, size_t{1} << 20));
    EXPECT_EQ(free_bytes(), 0u);
    void *small = nullptr;
    EXPECT_CUDA(cudaErrorMemoryAllocation, cudaMalloc(&small, 1));
    ASSERT_CUDA(cudaFree(large));
    ASSERT_CUDA(cudaMalloc(&small, 1));
    ASSERT_CUDA(cudaFree(small));
}

TEST_F(MemoryTest, APendingFreeMakesRoomWhenItIsNeeded) {
    configure({.memory = size_t{1} << 20});
    for_seeds(10, [] {
        const TestStream stream;
        for (int i = 0; i < 20; ++i) {
            void *pointer = nullptr;
            ASSERT_CUDA(cudaMallocAsync(&pointer, size_t{1} << 19, stream));
            ASSERT_CUDA(cudaFreeAsync(pointer, stream));
        }
    });
}

TEST_F(MemoryTest, NothingComesOfNothing) {
    void *pointer = &pointer;
    const TestStream stream;
    EXPECT_CUDA(cudaSuccess, cudaMalloc(&pointer, 0));
    EXPECT_EQ(pointer, nullptr);
    EXPECT_CUDA(cudaSuccess, cudaFree(nullptr));
    EXPECT_CUDA(cudaSuccess, cudaFreeHost(nullptr));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaMallocAsync(&pointer, 0, stream));
    EXPECT_CUDA(cudaSuccess, cudaMemcpyAsync(nullptr, nullptr, 0, cudaMemcpyDefault, stream));
}

TEST_F(MemoryTest, FreeingTwiceOrInTheMiddleIsRefused) {
    const TestStream stream;
    char *pointer = nullptr;
    ASSERT_CUDA(cudaMalloc(&pointer, 100));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaFree(pointer + 1));
    int host_number = 0;
    EXPECT_CUDA(cudaErrorInvalidValue, cudaFree(&host_number));
    EXPECT_CUDA(cudaSuccess, cudaFree(pointer));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaFree(pointer));
    for_seeds(10, [&] {
        ASSERT_CUDA(cudaMallocAsync(&pointer, 100, stream));
        EXPECT_CUDA(cudaSuccess, cudaFreeAsync(pointer, stream));
        EXPECT_CUDA(cudaErrorInvalidValue, cudaFreeAsync(pointer, stream));
        EXPECT_CUDA(cudaErrorInvalidValue, cudaFree(pointer));
    });
    char host = 0;
    EXPECT_CUDA(cudaErrorInvalidValue, cudaFreeHost(&host));
}

TEST_F(MemoryTest, CopiesCheckTheirKindAndRange) {
    const DeviceArray<char> device(100);
    std::vector<char> host(200);
    EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(device, host.data(), 101, cudaMemcpyHostToDevice));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(device + 1, host.data(), 100, cudaMemcpyDefault));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(device, host.data(), 100, cudaMemcpyDeviceToDevice));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(device, host.data(), 100, cudaMemcpyDeviceToHost));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(device, host.data(), 100, cudaMemcpyHostToHost));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaMemcpy(nullptr, host.data(), 100, cudaMemcpyDefault));
    EXPECT_CUDA(cudaErrorInvalidMemcpyDirection, cudaMemcpy(device, host.data(), 100, static_cast<cudaMemcpyKind>(7)));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaMemset(host.data(), 0, 1));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaMemset(device, 0, 101));
    EXPECT_CUDA(cudaSuccess, cudaMemcpy(device + 50, host.data(), 50, cudaMemcpyDefault));
    EXPECT_CUDA(cudaSuccess, cudaMemcpy(host.data(), host.data() + 100, 100, cudaMemcpyDefault));
    EXPECT_CUDA(cudaSuccess, cudaMemcpy(host.data(), device + 50, 50, cudaMemcpyDefault));
    EXPECT_CUDA(cudaSuccess, cudaMemcpy(device, device + 50, 50, cudaMemcpyDefault));
}

TEST_F(MemoryTest, TheHostCannotFollowADevicePointer) {
    const DeviceArray<int> array(std::vector<int>{1, 2, 3});
    EXPECT_DEATH(std::printf("%d", *static_cast<volatile int *>(array.data())), "");
    EXPECT_DEATH(*static_cast<volatile int *>(array.data()) = 1, "");
    EXPECT_EQ(array.values(), (std::vector<int>{1, 2, 3}));
}

/// Leaves no protection key (pkeys(7)) for others.
class KeysTaken {
  public:
    KeysTaken() {
        constexpr unsigned int kNothing = PKEY_DISABLE_ACCESS;
        for (int key = pkey_alloc(0, kNothing); key >= 0; key = pkey_alloc(0, kNothing)) keys_.push_back(key);
    }
    ~KeysTaken() {
        for (const int key : keys_) pkey_free(key);
    }
    KeysTaken(const KeysTaken &) = delete;
    KeysTaken &operator=(const KeysTaken &) = delete;

  private:
    std::vector<int> keys_;
};

__global__ void copy_first(int *to, const int *from) {
    *to = *from;
}

TEST_F(MemoryTest, WithoutProtectionKeysMemoryIsOutOfReachAllTheSame) {
    const KeysTaken keys;
    configure({.devices = 2});
    const DeviceArray<int> array(std::vector<int>{1, 2, 3});
    const DeviceArray<int> copied(1);
    EXPECT_DEATH(std::printf("%d", *static_cast<volatile int *>(array.data())), "");
    ASSERT_CUDA(run(copy_first, 1, 1, 0, copied.data(), array.data()));
    EXPECT_DEATH(*static_cast<volatile int *>(array.data()) = 1, "");
    EXPECT_EQ(copied.values()[0], 1);
    ASSERT_CUDA(cudaSetDevice(1));
    const DeviceArray<int> elsewhere(1);
    EXPECT_DEATH(run(copy_first, 1, 1, 0, elsewhere.data(), array.data()), "");
}

__global__ void write_at(char *pointer, int index) {
    pointer[index] = 1;
}

TEST_F(MemoryTest, AWriteBehindTheEndIsFoundOut) {
    for (const int beyond : {0, 1, 100, 255}) {
        char *pointer = nullptr;
        ASSERT_CUDA(cudaMalloc(&pointer, 1000));
        if (kAddressSanitizer) {
            EXPECT_DEATH(run(write_at, 1, 1, 0, pointer, 1000 + beyond), "use-after-poison");
            ASSERT_CUDA(cudaFree(pointer));
        } else {
            ASSERT_CUDA(run(write_at, 1, 1, 0, pointer, 1000 + beyond));
            ::testing::internal::CaptureStderr();
            EXPECT_CUDA(cudaErrorIllegalAddress, cudaFree(pointer));
            EXPECT_NE(::testing::internal::GetCapturedStderr().find("written behind the end"), std::string::npos);
            EXPECT_CUDA(cudaErrorIllegalAddress, cudaDeviceSynchronize());
            reset();
        }
    }
}

__global__ void sum_up(float *out, const float *in, int count) {
    float sum = 0;
    for (int i = 0; i < count; ++i) sum += in[i];
    *out = sum;
}

TEST_F(MemoryTest, AReadBehindTheEndGivesNan) {
    const DeviceArray<float> out(1);
    const DeviceArray<float> in(std::vector<float>(100, 1.0f));
    ASSERT_CUDA(run(sum_up, 1, 1, 0, out.data(), in.data(), 100));
    EXPECT_EQ(out.values()[0], 100.0f);
    if (kAddressSanitizer) {
        EXPECT_DEATH(run(sum_up, 1, 1, 0, out.data(), in.data(), 101), "use-after-poison");
    } else {
        ASSERT_CUDA(run(sum_up, 1, 1, 0, out.data(), in.data(), 101));
        EXPECT_TRUE(std::isnan(out.values()[0]));
    }
}

TEST_F(MemoryTest, FreedMemoryGivesNan) {
    const DeviceArray<float> out(1);
    float *in = nullptr;
    ASSERT_CUDA(cudaMalloc(&in, 400));
    ASSERT_CUDA(cudaMemset(in, 0, 400));
    ASSERT_CUDA(cudaFree(in));
    if (kAddressSanitizer) {
        EXPECT_DEATH(run(sum_up, 1, 1, 0, out.data(), in, 100), "use-after-poison");
    } else {
        ASSERT_CUDA(run(sum_up, 1, 1, 0, out.data(), in, 100));
        EXPECT_TRUE(std::isnan(out.values()[0]));
    }
}

TEST_F(MemoryTest, UsingMemoryOnAnotherStreamAfterItsFreeIsFoundOut) {
    int found = 0;
    for_seeds(40, [&] {
        const TestStream first, second;
        char *pointer = nullptr;
        ASSERT_CUDA(cudaMallocAsync(&pointer, 100, first));
        ASSERT_CUDA(first.synchronize());
        ::testing::internal::CaptureStderr();
        const cudaError_t filled = cudaMemsetAsync(pointer, 0, 100, second);
        const cudaError_t freed = cudaFreeAsync(pointer, first); // should wait for the second stream
        const cudaError_t done = cudaDeviceSynchronize();
        const std::string report = ::testing::internal::GetCapturedStderr();
        if (filled == cudaSuccess && freed == cudaSuccess && done == cudaSuccess) return;
        EXPECT_NE(report.find("comes after the memory has been freed"), std::string::npos);
        ++found;
        reset();
    });
    EXPECT_GE(found, 5);
}

#if !defined(__SANITIZE_ADDRESS__) // which would end the process
TEST_F(MemoryTest, FreeingPinnedMemoryTooEarlyIsFoundOut) {
    int found = 0;
    for_seeds(40, [&] {
        const TestStream stream;
        const DeviceArray<float> device(64);
        float *host = nullptr;
        ASSERT_CUDA(cudaMallocHost(&host, device.bytes()));
        std::fill(host, host + 64, 1.0f);
        ASSERT_CUDA(cudaMemcpyAsync(device, host, device.bytes(), cudaMemcpyHostToDevice, stream));
        ASSERT_CUDA(cudaFreeHost(host));
        const std::vector<float> values = device.values();
        found += !std::all_of(values.begin(), values.end(), [](float value) { return value == 1.0f; });
    });
    EXPECT_GE(found, 10);
}
#endif

TEST_F(MemoryTest, TheDefaultPoolAnswers) {
    cudaMemPool_t pool = nullptr;
    ASSERT_CUDA(cudaDeviceGetDefaultMemPool(&pool, 0));
    uint64_t threshold = ~uint64_t{0};
    EXPECT_CUDA(cudaSuccess, cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
    EXPECT_CUDA(cudaSuccess, cudaMemPoolTrimTo(pool, 0));
    EXPECT_CUDA(cudaErrorInvalidDevice, cudaDeviceGetDefaultMemPool(&pool, 1));
}

} // namespace
} // namespace mezzo::cuda_sim::testing
