// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace mezzo::cuda_sim {

/// Name of a function of this process, for reports. Kernels are seldom exported, so the symbol table of the file
/// they lie in is read.
std::string function_name(const void *function);

} // namespace mezzo::cuda_sim
