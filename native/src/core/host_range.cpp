// SPDX-License-Identifier: MIT
// Pages that are reserved first and opened as they are needed; the system puts memory behind those that are touched.
#include "core/host_range.h"

#include "core/host_poison.h"

#include <algorithm>

#include <sys/mman.h>
#include <unistd.h>

namespace mezzo {
namespace {

int64_t page_bytes() {
    static const int64_t bytes = sysconf(_SC_PAGESIZE);
    return bytes;
}

int64_t pages_up(int64_t bytes) {
    return (bytes + page_bytes() - 1) / page_bytes() * page_bytes();
}

int64_t pages_down(int64_t bytes) {
    return bytes / page_bytes() * page_bytes();
}

class HostRange final : public MemoryRange {
  public:
    using MemoryRange::MemoryRange;
    ~HostRange() override {
        unpoison(base(), open_bytes_);
        munmap(base(), static_cast<size_t>(bytes()));
    }

    bool back(int64_t bytes) override {
        if (bytes <= open_bytes_) return true;
        if (bytes > this->bytes()) return false;
        const int64_t wanted = pages_up(bytes);
        char *begin = base() + open_bytes_;
        const int64_t more = wanted - open_bytes_;
        if (mprotect(begin, static_cast<size_t>(more), PROT_READ | PROT_WRITE) != 0) return false;
        poison_for_rest(begin, more);
        open_bytes_ = wanted;
        return true;
    }

    void close() noexcept override {
        const int64_t kept = std::max(open_bytes_, page_bytes());
        if (kept >= bytes() || munmap(base() + kept, static_cast<size_t>(bytes() - kept)) != 0) return;
        shorten(kept);
    }

    void discard(int64_t begin, int64_t end) noexcept override {
        begin = pages_up(begin);
        end = pages_down(std::min(end, open_bytes_));
        if (begin >= end) return;
        madvise(base() + begin, static_cast<size_t>(end - begin), MADV_DONTNEED);
        mprotect(base() + begin, static_cast<size_t>(end - begin), PROT_NONE);
    }

  private:
    int64_t open_bytes_ = 0; // from the base
};

} // namespace

std::unique_ptr<MemoryRange> reserve_host_range(int64_t bytes) {
    const int64_t whole = pages_up(bytes);
    void *memory =
        mmap(nullptr, static_cast<size_t>(whole), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    return std::make_unique<HostRange>(static_cast<char *>(memory), whole);
}

} // namespace mezzo
