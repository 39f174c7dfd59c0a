// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

namespace mezzo {

/// Bytes that this process could still have of the host's memory: what Linux says is available, and no more than the
/// limits of its cgroups leave. Below 0 when the system does not say. `root` stands before every path that is read.
int64_t available_system_memory(const std::string &root = "");

} // namespace mezzo
