// SPDX-License-Identifier: MIT
// Under AddressSanitizer, host memory that rests and the bytes past a tensor's last are out of bounds, and fresh
// elements are NaN.
#pragma once

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>

#include <cstring>
#endif

namespace mezzo {

#if defined(__SANITIZE_ADDRESS__)
inline void unpoison(void *block, int64_t bytes) {
    ASAN_UNPOISON_MEMORY_REGION(block, static_cast<size_t>(bytes));
}
inline void poison_for_use(void *block, int64_t bytes, int64_t block_bytes) {
    unpoison(block, block_bytes);
    std::memset(block, 0xff, static_cast<size_t>(block_bytes));
    ASAN_POISON_MEMORY_REGION(static_cast<char *>(block) + bytes, static_cast<size_t>(block_bytes - bytes));
}
inline void poison_for_rest(void *block, int64_t block_bytes) {
    ASAN_POISON_MEMORY_REGION(block, static_cast<size_t>(block_bytes));
}
#else
inline void unpoison(void *, int64_t) {}
inline void poison_for_use(void *, int64_t, int64_t) {}
inline void poison_for_rest(void *, int64_t) {}
#endif

} // namespace mezzo
