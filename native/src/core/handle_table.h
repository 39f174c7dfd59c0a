// SPDX-License-Identifier: MIT
#pragma once

#include "core/fork_mutex.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace mezzo {

/// Gives out 64-bit handles for shared objects: the slot in the low half (from 1), the slot's generation in
/// the high half (from 1), so neither a small made-up number nor a destroyed handle is ever valid.
/// All operations are O(1) and thread-safe.
template <class T>
class HandleTable {
  public:
    uint64_t insert(std::shared_ptr<const T> object) {
        const std::lock_guard<ForkMutex> lock(mutex_);
        if (free_.empty()) {
            // Room for every slot's return, so that remove() cannot fail.
            if (free_.capacity() <= slots_.size()) free_.reserve(2 * slots_.size() + 64);
            slots_.emplace_back();
            free_.push_back(static_cast<uint32_t>(slots_.size() - 1));
        }
        const uint32_t index = free_.back();
        free_.pop_back();
        Slot &slot = slots_[index];
        slot.object = std::move(object);
        return static_cast<uint64_t>(slot.generation) << 32 | (index + uint64_t{1});
    }

    /// Null when the handle is not valid.
    std::shared_ptr<const T> find(uint64_t handle) const {
        const std::lock_guard<ForkMutex> lock(mutex_);
        return is_live(handle) ? slots_[index_of(handle)].object : nullptr;
    }

    /// Takes the object out, and with it the handle's validity. Null when the handle is not valid.
    std::shared_ptr<const T> remove(uint64_t handle) noexcept {
        const std::lock_guard<ForkMutex> lock(mutex_);
        if (!is_live(handle)) return nullptr;
        const uint32_t index = index_of(handle);
        Slot &slot = slots_[index];
        // A slot whose generations are used up is retired.
        if (++slot.generation != 0) free_.push_back(index);
        return std::move(slot.object);
    }

    /// Calls visit(object) for every live object, which must not touch the table.
    template <class Visit>
    void for_each(const Visit &visit) const {
        const std::lock_guard<ForkMutex> lock(mutex_);
        for (const Slot &slot : slots_) {
            if (slot.object != nullptr) visit(*slot.object);
        }
    }

  private:
    struct Slot {
        std::shared_ptr<const T> object;
        uint32_t generation = 1;
    };

    // A low half of 0 wraps to the largest index, which no slot has.
    static uint32_t index_of(uint64_t handle) { return static_cast<uint32_t>(handle) - 1; }

    bool is_live(uint64_t handle) const {
        const uint32_t index = index_of(handle);
        return index < slots_.size() && slots_[index].object != nullptr && slots_[index].generation == handle >> 32;
    }

    mutable ForkMutex mutex_;
    std::vector<Slot> slots_;
    std::vector<uint32_t> free_;
};

} // namespace mezzo
