// SPDX-License-Identifier: MIT
#include "access.h"

#include <cerrno>
#include <system_error>

#include <sys/mman.h>

namespace mezzo::cuda_sim {
namespace {

auto addresses(const void *memory, size_t bytes) {
    const auto begin = reinterpret_cast<uintptr_t>(memory);
    return boost::icl::interval<uintptr_t>::right_open(begin, begin + bytes);
}

} // namespace

// No other thread has a right to what has the key, unless it had one before, when the key was another's.
Access::Access() : key_(pkey_alloc(0, PKEY_DISABLE_ACCESS)) {}

// By now the memory is gone, and without a key there is nothing to close.
Access::~Access() {
    if (!has_key()) return;
    close();
    pkey_free(key_);
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
    const int result = has_key() ? pkey_mprotect(memory, bytes, rights, key_) : mprotect(memory, bytes, rights);
    if (result != 0) throw std::system_error(errno, std::generic_category(), "cuda_sim: mprotect");
}

} // namespace mezzo::cuda_sim
