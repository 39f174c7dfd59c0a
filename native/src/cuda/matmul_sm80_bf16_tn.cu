// SPDX-License-Identifier: MIT
#include "cuda/matmul_sm80.cuh"

namespace mezzo {
namespace {

const MatmulFamily family(kSm80Kernels<BFloat16, Layout::kTn>);

} // namespace
} // namespace mezzo
