// SPDX-License-Identifier: MIT
// The memory of one captured graph. Between replays nobody else may have it, so what is freed comes back to the pool,
// to be used again within the same capture, and not to the allocator's cache.
#pragma once

#include "core/memory_layout.h"
#include "core/memory_range.h"

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace mezzo {

class MemorySource;

/// Sizes are rounded up to kMemoryAlignment. The allocator sees to it that one thread at a time is here.
class MemoryPool {
  public:
    MemoryPool() = default;
    virtual ~MemoryPool() = default;
    MemoryPool(const MemoryPool &) = delete;
    MemoryPool &operator=(const MemoryPool &) = delete;

    /// Whether a block is one of the pool's.
    virtual bool owns(const void *block) const = 0;

    /// In use or at rest. What the pool grows by is taken by the thread that captures, which may ask at any time.
    int64_t bytes() const { return bytes_; }
    /// Kept for replays alone; none once the graph is gone.
    int64_t resting_bytes() const { return is_dropped_ ? 0 : bytes_ - used_bytes_; }

    /// By how much the pool has to grow for a block of this size.
    virtual int64_t growth(int64_t rounded) = 0;

    /// A block; null when there is no memory for it.
    void *take(int64_t rounded);

    /// Takes a block back.
    void release(void *block, int64_t rounded) noexcept;

    /// The graph is gone: gives all back but the blocks in use, which follow when they are released.
    void drop() noexcept;

    /// The capture is over: no block is taken any more.
    virtual void close() noexcept {}

    /// Lets the next captures know how this one went.
    virtual void teach(LayoutPlans &) const {}

    /// Says that the next capture is expected to be like this one.
    virtual void expect(LayoutPlans &) const noexcept {}

    /// From now on blocks lie wherever there is room, whatever was planned. False when that is no change.
    virtual bool forget_plan() { return false; }

  protected:
    bool is_in_use() const { return used_bytes_ > 0; }

  private:
    virtual void *take_block(int64_t rounded) = 0;
    virtual void rest_block(void *block, int64_t rounded) = 0;
    virtual void give_back_resting() noexcept = 0;
    virtual void give_back_block(void *block, int64_t rounded) = 0;

    int64_t bytes_ = 0;
    int64_t used_bytes_ = 0;
    bool is_dropped_ = false;
};

/// Blocks in one range of addresses, where neighbours that are free are one. Its bytes are those from the range's
/// beginning to the farthest end of a block, whatever the device has put behind them.
class RangePool final : public MemoryPool {
  public:
    RangePool(MemorySource &source, std::unique_ptr<MemoryRange> range, LayoutPlans::PlanPtr plan)
        : source_(source), range_(std::move(range)), plan_(std::move(plan)) {}

    bool owns(const void *block) const override;
    int64_t growth(int64_t rounded) override;
    void teach(LayoutPlans &plans) const override { plans.learn(tensors_, layout_.end()); }
    void expect(LayoutPlans &plans) const noexcept override { plans.expect(tensors_); }
    void close() noexcept override { range_->close(); }
    bool forget_plan() override { return std::exchange(plan_, nullptr) != nullptr; }

  private:
    void *take_block(int64_t rounded) override;
    void rest_block(void *block, int64_t rounded) override;
    void give_back_resting() noexcept override;
    void give_back_block(void *block, int64_t rounded) override;

    int64_t place(int64_t rounded);
    void discard(int64_t offset, int64_t bytes) noexcept;
    int64_t offset_of(const void *block) const { return static_cast<const char *>(block) - range_->base(); }

    MemorySource &source_;
    std::unique_ptr<MemoryRange> range_; // null once all is given back
    MemoryLayout layout_;
    LayoutPlans::PlanPtr plan_; // that the tensors so far are of; null when there is none
    std::vector<TensorLife> tensors_;
    std::unordered_map<int64_t, size_t> index_at_; // of the tensor that lies at an offset
    int64_t clock_ = 0;
};

/// Blocks of their own, for devices without ranges: only one of exactly the same size is used again.
class BlockPool final : public MemoryPool {
  public:
    explicit BlockPool(MemorySource &source) : source_(source) {}

    bool owns(const void *block) const override { return blocks_.contains(block); }
    int64_t growth(int64_t rounded) override;

  private:
    void *take_block(int64_t rounded) override;
    void rest_block(void *block, int64_t rounded) override { resting_[rounded].push_back(block); }
    void give_back_resting() noexcept override;
    void give_back_block(void *block, int64_t rounded) override;

    MemorySource &source_;
    std::unordered_set<const void *> blocks_; // all of them, at rest or in use
    std::unordered_map<int64_t, std::vector<void *>> resting_;
};

/// The pool of a capture that begins.
std::shared_ptr<MemoryPool> make_pool(MemorySource &source, const LayoutPlans &plans);

} // namespace mezzo
