// SPDX-License-Identifier: MIT
// Matrix products on CUDA: the problem, the choice of a kernel for it, and the launch, one type each. What the
// kernels do is told in docs/kernels/.
#pragma once

#include "core/op.h"
#include "cuda/cuda_device.h"

#include <limits>
#include <span>

namespace mezzo {

/// Where sums of columns go: out (+)= sum; out is [columns] of the product's dtype, or f32 beside a half.
struct ColumnSum {
    TensorData out = {};
    bool accumulate = false;
    float *found_inf = nullptr; // scalar, set to 1 when a sum is Inf or NaN as it is stored

    explicit operator bool() const { return static_cast<bool>(out); }
};

/// What happens to an element (i, j) of the product before the one rounding, in this order.
struct MatmulEpilogue {
    TensorData bias = {};       // [n], added to row i: x += bias[j]; out's dtypes
    bool relu = false;          // x = max(x, 0), NaN stays NaN
    TensorData mask = {};       // [batch, m, n]: x = 0 where mask <= 0, the gradient of ReLU; out's dtypes
    float add = 0;              // x += add * out, the scaled add; 0: what out holds is not read
    ColumnSum column_sum = {};  // over all rows and batches of the x that is stored, as it is rounded, in a fixed order
    float *found_inf = nullptr; // scalar, set to 1 when an x is Inf or NaN as it is stored, else left as it is
};

/// out = epilogue(a b), for each member of the batch. All matrices are row-major and contiguous.
struct MatmulProblem {
    int64_t m, n, k; // each at least 1
    int64_t batch = 1;
    mezzo_dtype dtype;  // of a and b: f64, f32, f16 or bf16
    const std::byte *a; // [m, k], or [k, m] when a_transposed
    const std::byte *b; // [k, n], or [n, k] when b_transposed
    bool a_transposed = false;
    bool b_transposed = false;
    int64_t a_batch_stride = 0; // elements from one member to the next; 0 repeats the same matrix
    int64_t b_batch_stride = 0;
    int64_t out_batch_stride = 0;
    TensorData out;          // [m, n]; dtype's own, or f32 for a half
    bool allow_tf32 = false; // f32 products may round their inputs to 10 bits of fraction
    MatmulEpilogue epilogue;
};

/// What multiplies.
enum class MatmulUnit {
    kFma,    // fused multiply-adds of threads
    kMmaK8,  // tensor cores, by mma.sync of 16 bytes of k: m16n8k8 of halves
    kMmaK16, // and of 32: m16n8k16 of halves, m16n8k8 of TF32
};

/// A kernel and what it can do. Each family registers its own; nothing else knows the list.
struct MatmulKernel {
    const char *name; // "matmul_sm80_f16_128x128x32_nt", also in profiles; no two are the same
    MatmulUnit unit;
    int oldest_arch;   // 75, 80, ...
    mezzo_dtype dtype; // of a and b
    bool tf32;         // rounds f32 inputs
    bool a_transposed;
    bool b_transposed;
    int tile_m, tile_n, tile_k;
    int stages; // tiles in flight in shared memory
    int threads;
    int64_t shared_bytes; // dynamic shared memory of a block
    int alignment;        // bytes that every row of a and b must be aligned to

    /// Launches the kernel, with the product's k range in `splits` parts whose partial sums are added in order.
    void (*launch)(CudaDevice &device, const MatmulProblem &problem, int splits);

    int newest_arch = std::numeric_limits<int>::max(); // for the code of one architecture alone, as that of sm_90a
    int step_instructions = 0; // that a warp issues for tile_k of k; 0 where they are the multiplications themselves
    int64_t largest_m = std::numeric_limits<int64_t>::max(); // of a problem that the kernel takes
    int64_t largest_n = std::numeric_limits<int64_t>::max();
    int64_t largest_row = std::numeric_limits<int64_t>::max(); // bytes, of a and b in memory
};

/// How a problem is run.
struct MatmulChoice {
    const MatmulKernel *kernel;
    int splits;
};

/// All kernels that have registered, by name.
std::span<const MatmulKernel *const> matmul_kernels();

/// Registers kernels; they must live for ever.
class MatmulFamily {
  public:
    explicit MatmulFamily(std::span<const MatmulKernel> kernels);
};

/// The largest power of two, at most 16, of bytes that every row of a and b is aligned to.
int matmul_alignment(const MatmulProblem &problem);

/// The bytes of the longer of a's and b's rows in memory.
int64_t matmul_row(const MatmulProblem &problem);

/// Whether a kernel runs on a machine at all.
bool runs_on(const MatmulKernel &kernel, const CudaMachine &machine);

/// Whether a kernel can run a problem on a machine.
bool can_run(const MatmulKernel &kernel, const MatmulProblem &problem, const CudaMachine &machine);

/// The best choice by a model of waves, bytes and alignment. Pure: it looks at neither pointers' targets nor devices.
MatmulChoice choose_matmul(const MatmulProblem &problem, const CudaMachine &machine,
                           std::span<const MatmulKernel *const> kernels);

/// Chooses and launches.
void matmul(CudaDevice &device, const MatmulProblem &problem);

} // namespace mezzo
