// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace mezzo {

/// A number of the calling thread that no other has, ever, as the system's may; not 0.
uint64_t this_thread_number();

} // namespace mezzo
