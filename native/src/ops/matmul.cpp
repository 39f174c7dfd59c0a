// SPDX-License-Identifier: MIT
// matmul: out = a b of matrices or batches of them, as <mezzo/ops.h> says: what a call must look like.
// How the CPU computes it is in cpu/matmul.cpp, how CUDA does in ops/matmul.cu.
#include "ops/matmul.h"

#include <mezzo/ops.h>

#include "core/descriptor.h"
#include "cpu/matmul.h"

#include <algorithm>

namespace mezzo {
namespace {

const Implementation<Matmul> cpu_matmul(MEZZO_DEVICE_TYPE_CPU, cpu::run_matmul);

void expect_matrices(const TensorRef &tensor) {
    if (tensor.rank() >= 2) return;
    fail(MEZZO_STATUS_SHAPE_MISMATCH, "%s is %s, expected at least two dimensions", tensor.name().c_str(),
         tensor.text().c_str());
}

/// The dimensions before the last two.
std::span<const int64_t> batch_of(const TensorRef &tensor) {
    return tensor.shape().first(static_cast<size_t>(tensor.rank() - 2));
}

/// The last dimension but `back`.
int64_t dim_from_end(const TensorRef &tensor, int32_t back) {
    return tensor.dim(tensor.rank() - 1 - back);
}

/// The batch of a product; SHAPE_MISMATCH unless a and b have the same or only one of them has any.
std::span<const int64_t> expect_batches(const TensorRef &a, const TensorRef &b) {
    const auto of_a = batch_of(a);
    const auto of_b = batch_of(b);
    if (of_a.empty()) return of_b;
    if (of_b.empty() || std::ranges::equal(of_a, of_b)) return of_a;
    fail(MEZZO_STATUS_SHAPE_MISMATCH, "b is %s, expected the batch of a, which is %s, or none", b.text().c_str(),
         a.text().c_str());
}

void expect_out(const TensorRef &out, std::span<const int64_t> batch, int64_t m, int64_t n) {
    std::array<int64_t, MEZZO_MAX_RANK> shape{};
    const auto matrix = std::copy(batch.begin(), batch.end(), shape.begin());
    matrix[0] = m;
    matrix[1] = n;
    expect_shape(out, {shape.data(), batch.size() + 2});
}

void matmul_forward(const TensorRef &out, const TensorRef &a, const TensorRef &b, const mezzo_matmul_desc &desc) {
    expect_flag(desc.a_transposed, "a_transposed");
    expect_flag(desc.b_transposed, "b_transposed");
    expect_flag(desc.accumulate, "accumulate");
    expect_flag(desc.allow_tf32, "allow_tf32");
    expect_same_device({&out, &a, &b});
    expect_floating(a);
    expect_dtype(b, {a.dtype()});
    expect_own_or_f32(out, a.dtype());
    expect_matrices(a);
    expect_matrices(b);
    const bool a_transposed = desc.a_transposed != 0;
    const bool b_transposed = desc.b_transposed != 0;
    const int64_t m = dim_from_end(a, a_transposed ? 0 : 1);
    const int64_t k = dim_from_end(a, a_transposed ? 1 : 0);
    const int64_t n = dim_from_end(b, b_transposed ? 1 : 0);
    if (dim_from_end(b, b_transposed ? 0 : 1) != k) {
        fail(MEZZO_STATUS_SHAPE_MISMATCH, "b is %s, expected %lld in its last dimension%s, for a is %s",
             b.text().c_str(), static_cast<long long>(k), b_transposed ? "" : " but one", a.text().c_str());
    }
    const auto batch = expect_batches(a, b);
    const bool both = a.rank() > 2 && b.rank() > 2;
    const bool sums = both && out.rank() == 2;
    expect_out(out, sums ? std::span<const int64_t>() : batch, m, n);
    expect_no_overlap(out, a);
    expect_no_overlap(out, b);

    int64_t members = 1;
    for (const int64_t dim : batch) members *= dim;
    run_op(out.device(), Matmul{.m = m,
                                .n = n,
                                .k = k,
                                .batch = members,
                                .dtype = a.dtype(),
                                .a = a.bytes_data(),
                                .b = b.bytes_data(),
                                .a_transposed = a_transposed,
                                .b_transposed = b_transposed,
                                .a_repeats = a.rank() == 2,
                                .b_repeats = b.rank() == 2,
                                .sums = sums,
                                .out = out,
                                .accumulate = desc.accumulate != 0,
                                .allow_tf32 = desc.allow_tf32 != 0});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_matmul_forward(mezzo_tensor out, mezzo_tensor a, mezzo_tensor b, const mezzo_matmul_desc *desc) {
    return mezzo::guard("matmul_forward", [&] {
        constexpr mezzo_matmul_desc kDefaults = {sizeof(mezzo_matmul_desc), 0, 0, 0, 0};
        mezzo::matmul_forward(mezzo::require_tensor(out, "out"), mezzo::require_tensor(a, "a"),
                              mezzo::require_tensor(b, "b"), mezzo::read_descriptor(desc, kDefaults));
    });
}
