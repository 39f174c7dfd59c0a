// SPDX-License-Identifier: MIT
// Matrix products of f32 by the kernels of matmul_sm80.cuh, where a caller allows elements to be rounded to TF32: 8
// bits of exponent and 10 of fraction, ties away from zero. Products of those are exact in f32, sums are f32.
#include "cuda/matmul_sm80.cuh"

namespace mezzo {
namespace {

template <Layout kLayout>
constexpr std::array kKernels{
    sm80_kernel<Tf32Mma, kLayout, BlockShape<128, 128, 16, 2, 2, 3, 2>, 16>(),
    sm80_kernel<Tf32Mma, kLayout, BlockShape<64, 160, 16, 2, 2, 3, 2>, 4>(),
    sm80_kernel<Tf32Mma, kLayout, BlockShape<64, 64, 32, 2, 2, 3, 4>, 16>(),
    sm80_kernel<Tf32Mma, kLayout, BlockShape<64, 64, 32, 2, 2, 3, 3>, 4>(),
};

const MatmulFamily nt(kKernels<Layout::kNt>);
const MatmulFamily nn(kKernels<Layout::kNn>);
const MatmulFamily tn(kKernels<Layout::kTn>);

} // namespace
} // namespace mezzo
