// SPDX-License-Identifier: MIT
#pragma once

#include "core/memory_range.h"

#include <memory>

namespace mezzo {

/// Addresses of the process, `bytes` of them at least; null when it has not so many left.
std::unique_ptr<MemoryRange> reserve_host_range(int64_t bytes);

} // namespace mezzo
