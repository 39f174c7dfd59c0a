// SPDX-License-Identifier: MIT
#include "core/thread_number.h"

#include <atomic>

namespace mezzo {

uint64_t this_thread_number() {
    static std::atomic<uint64_t> last{0};
    thread_local const uint64_t number = ++last;
    return number;
}

} // namespace mezzo
