// SPDX-License-Identifier: MIT
// A range of addresses that memory is put behind as it is needed, from its beginning on.
#pragma once

#include <cstdint>

namespace mezzo {

/// Its destructor gives memory and addresses back.
class MemoryRange {
  public:
    MemoryRange(char *base, int64_t bytes) : base_(base), bytes_(bytes) {}
    virtual ~MemoryRange() = default;
    MemoryRange(const MemoryRange &) = delete;
    MemoryRange &operator=(const MemoryRange &) = delete;

    /// Aligned to kMemoryAlignment.
    char *base() const { return base_; }
    /// Of addresses: as much as the device could have at most.
    int64_t bytes() const { return bytes_; }

    /// Puts memory behind the first `bytes` addresses, if there is none yet. False when there is none to be had; throws
    /// where the cause is another one.
    virtual bool back(int64_t bytes) = 0;

    /// Nothing more will be put behind it: gives addresses back that have none.
    virtual void close() noexcept {}

    /// Gives back what memory lies within the part alone. Nobody uses these addresses again.
    virtual void discard(int64_t begin, int64_t end) noexcept = 0;

  protected:
    void shorten(int64_t bytes) { bytes_ = bytes; }

  private:
    char *base_;
    int64_t bytes_;
};

} // namespace mezzo
