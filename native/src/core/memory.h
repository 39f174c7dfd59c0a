// SPDX-License-Identifier: MIT
// Device memory: a caching allocator with statistics and a limit, one for each device.
#pragma once

#include "core/error.h"
#include "core/fork_mutex.h"

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace mezzo {

class LayoutPlans;
class MemoryPool;
class MemoryRange;
class Rehearsal;
struct TensorLife;

/// Alignment of every block, and the unit that sizes are rounded up to.
inline constexpr int64_t kMemoryAlignment = 64;

/// Where an allocator gets its blocks from.
class MemorySource {
  public:
    virtual ~MemorySource() = default;

    /// A block aligned to kMemoryAlignment, null when there is none. `bytes` is a multiple of it. Throws where the
    /// cause is another one than a lack of memory.
    virtual void *allocate_block(int64_t bytes) = 0;
    virtual void free_block(void *block, int64_t bytes) noexcept = 0;

    /// Addresses for all the memory that the source could have, with nothing behind them yet; null when the source has
    /// no such thing, or no addresses are left.
    virtual std::unique_ptr<MemoryRange> reserve_range();

    /// Whether ops take their scratch memory when they are captured, and not when a graph runs them.
    virtual bool captures_scratch() const { return true; }

    /// Bytes that could still be had, as far as the source knows; below 0 when it does not.
    virtual int64_t free_bytes() noexcept { return -1; }

    /// Why there is no block, as errors say it.
    virtual const char *lack() const noexcept { return "the device does not have"; }

    /// A block goes into use for `bytes` of its `block_bytes`, within the capture under way when `captured`, or comes
    /// back to rest in the cache: for sources that let a memory checker know.
    virtual void on_use(void *, int64_t /*bytes*/, int64_t /*block_bytes*/, bool /*captured*/) noexcept {}
    virtual void on_rest(void *, int64_t /*block_bytes*/) noexcept {}
};

/// Blocks at rest, by size.
using BlocksBySize = std::unordered_map<int64_t, std::vector<void *>>;

/// Keeps freed blocks by size: a training step asks for the same sizes again and again. Thread-safe.
class Allocator {
  public:
    explicit Allocator(MemorySource &source);
    ~Allocator();
    Allocator(const Allocator &) = delete;
    Allocator &operator=(const Allocator &) = delete;

    /// At least one byte. OUT_OF_MEMORY when the device or the limit does not allow it.
    void *allocate(int64_t bytes, bool is_scratch = false);

    /// Takes back a block of allocate(); `bytes` is what was asked for.
    void release(void *block, int64_t bytes) noexcept;

    void trim() noexcept;
    void reset_peak() noexcept;

    /// From now on it is noted which blocks the calling thread takes and which of them are released, in place of what
    /// was noted before, until it enters a pool, which learns from that.
    void rehearse();

    /// From now on the calling thread's blocks come from a new pool, until leave_pool(). Pools learn from those whose
    /// capture is finished.
    std::shared_ptr<MemoryPool> enter_pool();
    void leave_pool(bool finished) noexcept;

    /// Gives a pool's memory back to the system, that of blocks in use when they are released.
    void drop_pool(MemoryPool &pool) noexcept;

    /// 0 for no limit.
    void set_limit(int64_t bytes);

    void count_tensors(int64_t change) noexcept;

    mezzo_memory_stats stats() const noexcept;

    /// Bytes that could still be allocated, as far as the source knows.
    int64_t available_bytes() const;

    /// "N are free, N are in use", in bytes, for errors; without the first where the source does not know.
    std::string usage_text() const;

  private:
    std::shared_ptr<MemoryPool> pool_in_use() const noexcept;
    void *take(int64_t rounded);
    void *take_new(int64_t rounded);
    void *take_from(const std::shared_ptr<MemoryPool> &pool, int64_t rounded, int64_t growth);
    void make_room(int64_t bytes) noexcept;
    std::vector<TensorLife> end_rehearsal();
    std::string usage_text_locked() const;
    void rest_in_cache(void *block, int64_t rounded) noexcept;
    void trim_locked() noexcept;
    int64_t reserved_bytes() const noexcept { return stats_.current_bytes + stats_.graph_bytes; }

    MemorySource &source_;
    mutable ForkMutex mutex_;
    BlocksBySize cache_;
    std::unordered_map<void *, std::shared_ptr<MemoryPool>> pool_of_; // of the blocks in use that belong to one
    std::shared_ptr<MemoryPool> entered_;                             // of the thread pool_thread_
    uint64_t pool_thread_ = 0;
    std::unique_ptr<LayoutPlans> plans_;
    std::unique_ptr<Rehearsal> rehearsal_; // null when there is none under way
    mezzo_memory_stats stats_{};
    int64_t high_water_ = 0; // largest current_bytes ever, resets of the peak notwithstanding
    int64_t most_held_ = 0;  // most bytes ever held, in use, by graphs and in the cache
    int64_t limit_ = 0;
};

/// Memory that an op needs while it runs; counted in the device's statistics like any other.
template <class T>
class Scratch {
  public:
    Scratch(Allocator &allocator, int64_t count)
        : allocator_(allocator), bytes_(bytes(count)), data_(static_cast<T *>(allocator.allocate(bytes_, true))) {}
    ~Scratch() { allocator_.release(data_, bytes_); }
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;

    T *data() const { return data_; }
    T &operator[](int64_t index) const { return data_[index]; }

  private:
    static int64_t bytes(int64_t count) {
        int64_t bytes = 0;
        if (__builtin_mul_overflow(count, static_cast<int64_t>(sizeof(T)), &bytes)) {
            fail(MEZZO_STATUS_OUT_OF_MEMORY, "scratch memory of %lld elements has more than 2^63 - 1 bytes",
                 static_cast<long long>(count));
        }
        return bytes;
    }

    Allocator &allocator_;
    int64_t bytes_;
    T *data_;
};

} // namespace mezzo
