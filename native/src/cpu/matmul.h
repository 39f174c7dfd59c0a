// SPDX-License-Identifier: MIT
// Matrix products of any transposition and of batches on the CPU.
#pragma once

#include "ops/matmul.h"

namespace mezzo::cpu {

void run_matmul(Device &device, const Matmul &product);

} // namespace mezzo::cpu
