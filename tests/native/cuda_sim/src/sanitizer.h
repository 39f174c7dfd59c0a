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
/// Frees the fake stack of a fiber that is never switched to again: acts as if it came there and left for good. Without
/// it every fiber that a fault abandons would keep some megabytes mapped.
__attribute__((no_sanitize_address)) inline void discard_stack(void *fake_stack, const void *bottom, size_t bytes) {
    if (fake_stack == nullptr) return;
    void *own = nullptr;
    const void *own_bottom = nullptr;
    size_t own_bytes = 0;
    __sanitizer_start_switch_fiber(&own, bottom, bytes);
    __sanitizer_finish_switch_fiber(fake_stack, &own_bottom, &own_bytes);
    __sanitizer_start_switch_fiber(nullptr, own_bottom, own_bytes);
    __sanitizer_finish_switch_fiber(own, nullptr, nullptr);
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
inline void discard_stack(void *, const void *, size_t) {}
inline void at_death(void (*)()) {}
#endif

} // namespace mezzo::cuda_sim::sanitizer
