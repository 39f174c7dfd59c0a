// SPDX-License-Identifier: MIT
#include "access.h"

#include <sys/mman.h>

namespace mezzo::cuda_sim {
namespace {

auto addresses(const void *memory, size_t bytes) {
    const auto begin = reinterpret_cast<uintptr_t>(memory);
    return boost::icl::interval<uintptr_t>::right_open(begin, begin + bytes);
}

} // namespace

// Threads that are there already have no right to what has a key either.
Access::Access() : key_(pkey_alloc(0, PKEY_DISABLE_ACCESS)) {}

Access::~Access() {
    close();
    if (has_key()) pkey_free(key_);
}

void Access::permit(void *memory, size_t bytes) {
    permitted_ += addresses(memory, bytes);
    protect(reinterpret_cast<uintptr_t>(memory), bytes, true);
}

void Access::forbid(void *memory, size_t bytes) {
    permitted_ -= addresses(memory, bytes);
    protect(reinterpret_cast<uintptr_t>(memory), bytes, false);
}

void Access::open() {
    if (!is_open_) change(true);
}

void Access::close() {
    if (is_open_) change(false);
}

void Access::change(bool is_open) {
    is_open_ = is_open;
    if (has_key()) {
        pkey_set(key_, is_open ? 0 : PKEY_DISABLE_ACCESS);
        return;
    }
    for (const auto &range : permitted_) protect(range.lower(), range.upper() - range.lower(), true);
}

void Access::protect(uintptr_t begin, size_t bytes, bool is_permitted) const {
    void *memory = reinterpret_cast<void *>(begin);
    const int rights = is_permitted && (is_open_ || has_key()) ? PROT_READ | PROT_WRITE : PROT_NONE;
    if (has_key()) {
        pkey_mprotect(memory, bytes, rights, key_);
    } else {
        mprotect(memory, bytes, rights);
    }
}

} // namespace mezzo::cuda_sim
