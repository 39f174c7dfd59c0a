// SPDX-License-Identifier: MIT
// matmul on CUDA: out = a b, a launch for a whole batch (docs/kernels/)
//
//   a    [batch, m, k], or [batch, k, m]; [batch, k, n] or [batch, n, k] for b; one of the two may be a matrix alone
//   out  [batch, m, n], or [m, n], the sum over the batch
//
// Where b repeats, the rows of all members of a are those of one product. A sum over the batch is one product over
// all of k where both operands lie that way, [batch k, m] and [batch k, n]; else the products of the members, in f32 or
// f64, are added by a pass of their own, in a fixed order. Deterministic.
#include "ops/matmul.h"

#include "cuda/matmul.h"
#include "cuda/matmul_reduce.h"

namespace mezzo {
namespace {

MatmulProblem problem_of(const Matmul &call) {
    return {.m = call.m,
            .n = call.n,
            .k = call.k,
            .batch = call.batch,
            .dtype = call.dtype,
            .a = call.a,
            .b = call.b,
            .a_transposed = call.a_transposed,
            .b_transposed = call.b_transposed,
            .a_batch_stride = call.a_repeats ? 0 : call.m * call.k,
            .b_batch_stride = call.b_repeats ? 0 : call.k * call.n,
            .out_batch_stride = call.m * call.n,
            .out = call.out,
            .allow_tf32 = call.allow_tf32,
            .epilogue = {.add = call.accumulate ? 1.0f : 0.0f}};
}

/// The same as one product, where it is one.
void join_members(MatmulProblem &problem, const Matmul &call) {
    if (call.sums && call.a_transposed && !call.b_transposed) {
        problem.k *= call.batch;
        problem.batch = 1;
    } else if (!call.sums && call.b_repeats && !call.a_transposed) {
        problem.m *= call.batch;
        problem.batch = 1;
    }
}

/// Adds the products of the members.
void matmul_summed(CudaDevice &device, const Matmul &call, MatmulProblem problem) {
    const mezzo_dtype sum = call.dtype == MEZZO_DTYPE_F64 ? MEZZO_DTYPE_F64 : MEZZO_DTYPE_F32;
    const int64_t elements = call.m * call.n;
    const Scratch<std::byte> products(device.memory(), call.batch * elements * dtype_size(sum));
    problem.out = {products.data(), sum, call.batch * elements};
    problem.epilogue.add = 0;
    matmul(device, problem);
    pass_columns(device, {.dtype = call.dtype,
                          .rows = call.batch,
                          .columns = elements,
                          .from = problem.out,
                          .column_sum = {.out = call.out, .accumulate = call.accumulate}});
}

void matmul_on_cuda(Device &any_device, const Matmul &call) {
    CudaDevice &device = cuda_device(any_device);
    MatmulProblem problem = problem_of(call);
    join_members(problem, call);
    if (call.sums && problem.batch > 1) {
        matmul_summed(device, call, problem);
    } else {
        matmul(device, problem);
    }
}

const Implementation<Matmul> cuda_matmul(MEZZO_DEVICE_TYPE_CUDA, matmul_on_cuda);

} // namespace
} // namespace mezzo
