// SPDX-License-Identifier: MIT
// The memory of captures as the allocator gives it out, on sources that have ranges of addresses and on those that have
// not.
#include "core/memory_pool.h"

#include "core/host_poison.h"
#include "core/host_range.h"
#include "core/memory.h"

#include "support/status.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>

namespace mezzo::testing {
namespace {

constexpr int64_t kPage = 4096;

/// A source with so much memory, which is in units of pages where it is behind addresses.
class LimitedSource : public MemorySource {
  public:
    explicit LimitedSource(int64_t capacity) : capacity_(capacity) {}
    ~LimitedSource() override { EXPECT_EQ(used_, 0) << "memory was not given back"; }

    void *allocate_block(int64_t bytes) noexcept override {
        if (bytes > capacity_ - used_) return nullptr;
        used_ += bytes;
        return std::aligned_alloc(kMemoryAlignment, static_cast<size_t>(bytes));
    }
    void free_block(void *block, int64_t bytes) noexcept override {
        used_ -= bytes;
        unpoison(block, bytes);
        std::free(block);
    }
    void on_use(void *block, int64_t bytes, int64_t block_bytes, bool) noexcept override {
        poison_for_use(block, bytes, block_bytes);
    }
    void on_rest(void *block, int64_t block_bytes) noexcept override { poison_for_rest(block, block_bytes); }

    bool take(int64_t bytes) {
        if (bytes > capacity_ - used_) return false;
        used_ += bytes;
        most_used_ = std::max(most_used_, used_);
        return true;
    }
    void give_back(int64_t bytes) { used_ -= bytes; }
    int64_t used() const { return used_; }
    int64_t most_used() const { return most_used_; }

  private:
    int64_t capacity_;
    int64_t used_ = 0;
    int64_t most_used_ = 0;
};

/// A host range whose memory is that of a LimitedSource.
class LimitedRange final : public MemoryRange {
  public:
    LimitedRange(LimitedSource &source, std::unique_ptr<MemoryRange> host)
        : MemoryRange(host->base(), host->bytes()), source_(source), host_(std::move(host)) {}
    ~LimitedRange() override { source_.give_back(backed_ - discarded_); }

    bool back(int64_t bytes) override {
        const int64_t more = (bytes + kPage - 1) / kPage * kPage - backed_;
        if (more <= 0) return true;
        if (!source_.take(more) || !host_->back(bytes)) return false;
        backed_ += more;
        return true;
    }
    void discard(int64_t begin, int64_t end) noexcept override {
        host_->discard(begin, end);
        begin = (begin + kPage - 1) / kPage * kPage;
        end = std::min(end, backed_) / kPage * kPage;
        for (; begin < end; begin += kPage) {
            if (gone_.insert(begin).second) {
                discarded_ += kPage;
                source_.give_back(kPage);
            }
        }
    }

  private:
    LimitedSource &source_;
    std::unique_ptr<MemoryRange> host_;
    std::unordered_set<int64_t> gone_;
    int64_t backed_ = 0;
    int64_t discarded_ = 0;
};

class RangeSource final : public LimitedSource {
  public:
    using LimitedSource::LimitedSource;
    std::unique_ptr<MemoryRange> reserve_range() override {
        return std::make_unique<LimitedRange>(*this, reserve_host_range(int64_t{1} << 30));
    }
};

/// Tensors of one allocator, freed with it.
class Tensors {
  public:
    explicit Tensors(Allocator &allocator) : allocator_(allocator) {}
    ~Tensors() {
        while (!blocks_.empty()) destroy(0);
    }
    Tensors(const Tensors &) = delete;
    Tensors &operator=(const Tensors &) = delete;

    char *create(int64_t bytes) {
        auto *block = static_cast<char *>(allocator_.allocate(bytes));
        std::memset(block, static_cast<int>(blocks_.size()), static_cast<size_t>(bytes));
        blocks_.emplace_back(block, bytes);
        return block;
    }
    void destroy(size_t index) {
        const auto [block, bytes] = blocks_[index];
        blocks_.erase(blocks_.begin() + static_cast<ptrdiff_t>(index));
        allocator_.release(block, bytes);
    }
    char *block(size_t index) const { return blocks_[index].first; }
    void destroy_last() { destroy(blocks_.size() - 1); }

  private:
    Allocator &allocator_;
    std::vector<std::pair<char *, int64_t>> blocks_;
};

/// What a capture keeps: its pool, dropped at the end.
class TestCapture {
  public:
    explicit TestCapture(Allocator &allocator) : allocator_(allocator), pool_(allocator.enter_pool()) {}
    ~TestCapture() {
        leave(false);
        allocator_.drop_pool(*pool_);
    }
    TestCapture(const TestCapture &) = delete;
    TestCapture &operator=(const TestCapture &) = delete;

    void leave(bool finished) {
        if (!left_) allocator_.leave_pool(finished);
        left_ = true;
    }
    const MemoryPool &pool() const { return *pool_; }

  private:
    Allocator &allocator_;
    std::shared_ptr<MemoryPool> pool_;
    bool left_ = false;
};

/// Four segments of six layers, computed once more in the backward pass, with small gradients that stay to its end.
void checkpointed_step(Allocator &allocator) {
    Tensors kept(allocator), gradients(allocator), flow(allocator);
    for (int segment = 0; segment < 4; ++segment) {
        kept.create(64000);
        Tensors dropped(allocator);
        for (int layer = 0; layer < 6; ++layer) dropped.create(64000);
    }
    flow.create(64000);
    for (int segment = 0; segment < 4; ++segment) {
        Tensors made(allocator);
        for (int layer = 0; layer < 6; ++layer) made.create(64000);
        for (int layer = 0; layer < 6; ++layer) {
            gradients.create(3200);
            flow.create(64000);
            flow.destroy(0);
            made.destroy_last();
        }
        kept.destroy_last();
    }
}

TEST(MemoryPoolOnCpu, FreeNeighbours_HaveRoomForTheirSum) {
    RangeSource source(1 << 20);
    Allocator allocator(source);
    TestCapture capture(allocator);
    Tensors tensors(allocator);
    char *first = tensors.create(640);
    tensors.create(1280);
    tensors.create(64);
    EXPECT_EQ(capture.pool().bytes(), 1984);
    tensors.destroy(0);
    tensors.destroy(0);
    EXPECT_EQ(allocator.stats().graph_bytes, 1920);
    EXPECT_EQ(tensors.create(1920), first);
    EXPECT_EQ(capture.pool().bytes(), 1984);
    EXPECT_EQ(allocator.stats().graph_bytes, 0);
    EXPECT_EQ(allocator.stats().current_bytes, 1984);
    EXPECT_EQ(allocator.stats().peak_bytes, 1984);
}

TEST(MemoryPoolOnCpu, WithoutRanges_OnlyBlocksOfTheSameSizeAreUsedAgain) {
    LimitedSource source(1 << 20);
    Allocator allocator(source);
    {
        TestCapture capture(allocator);
        Tensors tensors(allocator);
        char *first = tensors.create(640);
        tensors.create(1280);
        tensors.destroy(0);
        tensors.destroy(0);
        EXPECT_EQ(tensors.create(640), first);
        tensors.create(1920);
        EXPECT_EQ(capture.pool().bytes(), 640 + 1280 + 1920);
        EXPECT_EQ(allocator.stats().graph_bytes, 1280);
        EXPECT_TRUE(capture.pool().owns(first));
        EXPECT_FALSE(capture.pool().owns(&source));
    }
    EXPECT_EQ(allocator.stats().graph_bytes, 0);
    EXPECT_EQ(source.used(), 0) << "it goes back to the system";
}

TEST(MemoryPoolOnCpu, ASecondCapture_KnowsTheFirst_AndTakesWhatLivesAtMost) {
    RangeSource source(1 << 30);
    Allocator allocator(source);
    const auto capture_bytes = [&](bool finish) {
        allocator.reset_peak();
        TestCapture capture(allocator);
        checkpointed_step(allocator);
        capture.leave(finish);
        EXPECT_EQ(allocator.stats().peak_bytes, capture.pool().bytes());
        return capture.pool().bytes();
    };
    checkpointed_step(allocator); // op by op
    const int64_t live = allocator.stats().peak_bytes;
    const int64_t first = capture_bytes(false);
    EXPECT_GT(first, live);
    EXPECT_EQ(capture_bytes(true), first) << "it has learnt from a capture that failed";
    EXPECT_EQ(capture_bytes(true), live);
    EXPECT_EQ(capture_bytes(true), live);
}

TEST(MemoryPoolOnCpu, ACaptureThatGoesAnotherWay_IsPlacedAsItComes) {
    RangeSource source(1 << 30);
    Allocator allocator(source);
    for (int i = 0; i < 2; ++i) {
        TestCapture capture(allocator);
        checkpointed_step(allocator);
        capture.leave(true);
    }
    TestCapture capture(allocator);
    Tensors tensors(allocator);
    std::vector<std::pair<char *, int64_t>> alive;
    for (int i = 0; i < 60; ++i) alive.emplace_back(tensors.create(i % 7 < 5 ? 64000 : 6400), i % 7 < 5 ? 64000 : 6400);
    for (size_t i = 0; i < alive.size(); ++i) {
        const auto [block, bytes] = alive[i];
        EXPECT_TRUE(std::all_of(block, block + bytes, [&](char byte) { return byte == static_cast<char>(i); }))
            << "another one lies there";
    }
}

TEST(MemoryPoolOnCpu, ATensorThatOutlivesItsGraph_KeepsItsPagesAlone) {
    RangeSource source(1 << 20);
    Allocator allocator(source);
    Tensors tensors(allocator);
    char *kept = nullptr;
    {
        TestCapture capture(allocator);
        tensors.create(10 * kPage);
        kept = tensors.create(kPage);
        tensors.create(10 * kPage);
        tensors.destroy(0);
        std::memset(kept, 7, kPage);
        capture.leave(true);
    }
    EXPECT_EQ(source.used(), 11 * kPage) << "what rested is gone";
    EXPECT_EQ(allocator.stats().graph_bytes, 0);
    EXPECT_EQ(allocator.stats().current_bytes, 11 * kPage);
    tensors.destroy(1);
    EXPECT_EQ(source.used(), kPage);
    EXPECT_TRUE(std::all_of(kept, kept + kPage, [](char byte) { return byte == 7; }));
    char *other = tensors.create(2 * kPage); // of nobody's graph
    EXPECT_TRUE(other + 2 * kPage <= kept || kept + kPage <= other);
    tensors.destroy(0);
    EXPECT_EQ(source.used(), 2 * kPage) << "the range goes with its last tensor";
    EXPECT_EQ(allocator.stats().current_bytes, 2 * kPage);
}

TEST(MemoryPoolOnCpu, WithoutRanges_ABlockThatOutlivesItsGraphGoesBackToo) {
    LimitedSource source(1 << 20);
    Allocator allocator(source);
    Tensors tensors(allocator);
    {
        TestCapture capture(allocator);
        tensors.create(640);
    }
    EXPECT_EQ(source.used(), 640);
    tensors.destroy(0);
    EXPECT_EQ(source.used(), 0);
}

TEST(MemoryPoolOnCpu, TheLimit_CountsWhatAPoolGrowsBy) {
    RangeSource source(1 << 20);
    Allocator allocator(source);
    TestCapture capture(allocator);
    Tensors tensors(allocator);
    tensors.create(64);
    tensors.create(640);
    tensors.destroy(1);
    allocator.set_limit(64 + 1280);
    tensors.create(1280); // 640 of them are there
    EXPECT_FAILS(guard("op", [&] { allocator.allocate(64); }), OUT_OF_MEMORY,
                 "op: 64 bytes were asked for, 1344 are in use and the limit is 1344");
    EXPECT_EQ(capture.pool().bytes(), 1344);
    tensors.destroy(1);
    tensors.create(640);
}

TEST(MemoryPoolOnCpu, WithoutMemory_ACaptureFailsAndGivesItsRangeBack) {
    RangeSource source(8 * kPage);
    Allocator allocator(source);
    {
        TestCapture capture(allocator);
        Tensors tensors(allocator);
        tensors.create(6 * kPage);
        EXPECT_FAILS(guard("op", [&] { allocator.allocate(3 * kPage); }), OUT_OF_MEMORY,
                     "op: 12288 bytes were asked for, which the device does not have; 24576 are in use");
        EXPECT_EQ(allocator.stats().current_bytes, 6 * kPage) << "a failed allocation was counted";
        EXPECT_EQ(allocator.stats().graph_bytes, 0);
        tensors.create(2 * kPage); // the pool goes on
    }
    EXPECT_EQ(source.used(), 0);
    EXPECT_EQ(allocator.stats().current_bytes, 0);
}

TEST(MemoryPoolOnCpu, WhatStepsHaveLeftInTheCache_MakesRoomForThePool) {
    RangeSource source(1 << 30);
    Allocator allocator(source);
    checkpointed_step(allocator); // op by op
    const int64_t held = allocator.stats().cached_bytes;
    EXPECT_EQ(source.used(), held);
    {
        TestCapture capture(allocator);
        checkpointed_step(allocator);
        EXPECT_LT(source.used(), capture.pool().bytes() + allocator.stats().cached_bytes + kPage);
    }
    EXPECT_LE(source.most_used(), held + 64000 + kPage) << "both were held at once";
}

TEST(MemoryPoolOnCpu, CapturesAfterEachOther_TakeNoMoreThanOne) {
    for (const bool has_ranges : {true, false}) {
        auto source = has_ranges ? std::unique_ptr<LimitedSource>(std::make_unique<RangeSource>(1 << 20))
                                 : std::make_unique<LimitedSource>(1 << 20);
        Allocator allocator(*source);
        for (int64_t i = 0; i < 500; ++i) {
            TestCapture capture(allocator);
            Tensors tensors(allocator);
            tensors.create(400000 + 64 * i); // two of them have no room
            capture.leave(i % 3 != 0);
        }
        EXPECT_EQ(source->used(), 0);
        EXPECT_EQ(allocator.stats().graph_bytes, 0);
    }
}

TEST(MemoryPoolOnCpu, TwoGraphs_AndOtherThreads_HaveMemoryOfTheirOwn) {
    RangeSource source(1 << 20);
    Allocator allocator(source);
    TestCapture first(allocator);
    Tensors tensors(allocator);
    char *of_first = tensors.create(640);
    tensors.destroy(0);
    first.leave(true);
    TestCapture second(allocator);
    char *of_second = tensors.create(640);
    EXPECT_FALSE(first.pool().owns(of_second));
    EXPECT_TRUE(second.pool().owns(of_second));
    EXPECT_TRUE(first.pool().owns(of_first));
    std::thread([&] {
        void *block = allocator.allocate(640);
        EXPECT_FALSE(first.pool().owns(block));
        EXPECT_FALSE(second.pool().owns(block));
        allocator.release(block, 640);
        EXPECT_EQ(allocator.stats().cached_bytes, 640);
    }).join();
    EXPECT_EQ(allocator.stats().graph_bytes, 640);
}

TEST(HostRangeOnCpu, Back_PutsMemoryBehindTheBeginning) {
    const std::unique_ptr<MemoryRange> range = reserve_host_range(int64_t{1} << 40);
    ASSERT_NE(range, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(range->base()) % kMemoryAlignment, 0u);
    EXPECT_GE(range->bytes(), int64_t{1} << 40);
    EXPECT_TRUE(range->back(1));
    EXPECT_TRUE(range->back(1)) << "which it has";
    EXPECT_FALSE(range->back(range->bytes() + 1));
}

TEST(HostRangeOnCpu, MoreThanThereAreAddresses_IsNone) {
    EXPECT_EQ(reserve_host_range(int64_t{1} << 60), nullptr);
}

TEST(HostRangeDeathTestOnCpu, WhatIsNotBacked_CannotBeTouched) {
    const std::unique_ptr<MemoryRange> range = reserve_host_range(int64_t{1} << 30);
    ASSERT_TRUE(range->back(100));
    auto *base = static_cast<volatile char *>(range->base());
    EXPECT_DEATH(base[kPage] = 1, "");
    ASSERT_TRUE(range->back(2 * kPage));
    range->discard(kPage, 2 * kPage);
    EXPECT_DEATH(base[kPage] = 1, "");
}

#if defined(__SANITIZE_ADDRESS__)
TEST(HostRangeDeathTestOnCpu, MemoryOfNoTensor_IsOutOfBounds) {
    const std::unique_ptr<MemoryRange> range = reserve_host_range(int64_t{1} << 30);
    ASSERT_TRUE(range->back(100));
    EXPECT_DEATH(static_cast<volatile char *>(range->base())[0] = 1, "use-after-poison");
}

TEST(MemoryPoolDeathTestOnCpu, WhatAGraphHasLeft_IsOutOfBounds) {
    RangeSource source(1 << 20);
    Allocator allocator(source);
    Tensors tensors(allocator);
    {
        TestCapture capture(allocator);
        for (int i = 0; i < 3; ++i) tensors.create(64);
        tensors.destroy(0);
        capture.leave(true);
    }
    volatile char *last = tensors.create(64); // of nobody's graph
    tensors.destroy_last();
    EXPECT_DEATH(last[0] = 1, "use-after-poison");
    volatile char *second = tensors.block(0);
    second[0] = 1;
    EXPECT_DEATH(second[-64] = 1, "use-after-poison") << "freed while it was captured";
    tensors.destroy(0);
    EXPECT_DEATH(second[0] = 1, "use-after-poison") << "freed after the graph";
}
#endif

} // namespace
} // namespace mezzo::testing
