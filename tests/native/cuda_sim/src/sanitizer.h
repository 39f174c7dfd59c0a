// SPDX-License-Identifier: MIT
// AddressSanitizer's interface, empty in builds without it.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace mezzo::cuda_sim::sanitizer {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kActive = true;

inline void forbid(const void *begin, size_t bytes) {
    __asan_poison_memory_region(begin, bytes);
}
inline void permit(const void *begin, size_t bytes) {
    __asan_unpoison_memory_region(begin, bytes);
}
inline void leave_stack(void **fake_stack, const void *next_bottom, size_t next_bytes) {
    __sanitizer_start_switch_fiber(fake_stack, next_bottom, next_bytes);
}
inline void enter_stack(void *fake_stack, const void **last_bottom, size_t *last_bytes) {
    __sanitizer_finish_switch_fiber(fake_stack, last_bottom, last_bytes);
}
/// Calls `callback` when a report ends the process.
inline void at_death(void (*callback)()) {
    __sanitizer_set_death_callback(callback);
}
#else
inline constexpr bool kActive = false;

inline void forbid(const void *, size_t) {}
inline void permit(const void *, size_t) {}
inline void leave_stack(void **, const void *, size_t) {}
inline void enter_stack(void *, const void **, size_t *) {}
inline void at_death(void (*)()) {}
#endif

} // namespace mezzo::cuda_sim::sanitizer
