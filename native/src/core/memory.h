// SPDX-License-Identifier: MIT
// Device memory: a caching allocator with statistics and a limit, one for each device.
#pragma once

#include "core/error.h"
#include "core/fork_mutex.h"

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace mezzo {

/// Alignment of every block, and the unit that sizes are rounded up to.
inline constexpr int64_t kMemoryAlignment = 64;

/// Where an allocator gets its blocks from.
class MemorySource {
  public:
    virtual ~MemorySource() = default;

    /// A block aligned to kMemoryAlignment, null when there is none. `bytes` is a multiple of it.
    virtual void *allocate_block(int64_t bytes) noexcept = 0;
    virtual void free_block(void *block, int64_t bytes) noexcept = 0;

    /// A block goes into use for `bytes` of its `block_bytes`, or comes back to rest in the cache: for
    /// sources that let a memory checker know.
    virtual void on_use(void *, int64_t /*bytes*/, int64_t /*block_bytes*/) noexcept {}
    virtual void on_rest(void *, int64_t /*block_bytes*/) noexcept {}
};

/// Keeps freed blocks by size: a training step asks for the same sizes again and again. Thread-safe.
class Allocator {
  public:
    explicit Allocator(MemorySource &source) : source_(source) {}
    ~Allocator() { trim(); }
    Allocator(const Allocator &) = delete;
    Allocator &operator=(const Allocator &) = delete;

    /// At least one byte. OUT_OF_MEMORY when the device or the limit does not allow it.
    void *allocate(int64_t bytes);

    /// Takes back a block of allocate(); `bytes` is what was asked for.
    void release(void *block, int64_t bytes) noexcept;

    void trim() noexcept;
    void reset_peak() noexcept;

    /// 0 for no limit.
    void set_limit(int64_t bytes);

    void count_tensors(int64_t change) noexcept;

    mezzo_memory_stats stats() const noexcept;

  private:
    void *take_cached(int64_t rounded) noexcept;
    void trim_locked() noexcept;

    MemorySource &source_;
    mutable ForkMutex mutex_;
    std::unordered_map<int64_t, std::vector<void *>> cache_;
    mezzo_memory_stats stats_{};
    int64_t high_water_ = 0; // largest current_bytes ever, resets of the peak notwithstanding
    int64_t limit_ = 0;
};

/// Memory that an op needs while it runs; counted in the device's statistics like any other.
template <class T>
class Scratch {
  public:
    Scratch(Allocator &allocator, int64_t count)
        : allocator_(allocator), bytes_(bytes(count)), data_(static_cast<T *>(allocator.allocate(bytes_))) {}
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
