// SPDX-License-Identifier: MIT
#include "cuda/matmul_sm75.cuh"

namespace mezzo {
namespace {

const MatmulFamily nt(kSm75Kernels<Layout::kNt>);
const MatmulFamily nn(kSm75Kernels<Layout::kNn>);
const MatmulFamily tn(kSm75Kernels<Layout::kTn>);

} // namespace
} // namespace mezzo
