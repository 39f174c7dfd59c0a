// SPDX-License-Identifier: MIT
// Tensor-core kernels at the edges of what they are made of: tiles, the ring of tiles in shared memory, copies of 16, 4
// and 2 bytes, quads of the epilogue. matmul_test.cpp has the options and the rest.
#include "cuda/matmul.h"

#include "support/matmul_kernels.h"
#include "support/oracle.h"
#include "support/surrounded.h"

#include <cmath>

namespace mezzo::testing {
namespace {

struct Case {
    int64_t m, n, k;
    int splits = 1;
    int64_t a_misalignment = 0; // elements after a 16-byte boundary
    int64_t b_misalignment = 0;
    int64_t out_misalignment = 0;
    bool wide = false;  // out of f32
    bool added = false; // to what is there: 0, but NaN in the last element
};

std::ostream &operator<<(std::ostream &out, const Case &c) {
    return out << c.m << "x" << c.n << "x" << c.k << " splits " << c.splits << " misaligned " << c.a_misalignment << " "
               << c.b_misalignment << " " << c.out_misalignment << " wide " << c.wide << " added " << c.added;
}

class MatmulTensor : public ::testing::TestWithParam<const MatmulKernel *> {
  protected:
    const MatmulKernel &kernel() const { return *GetParam(); }
    static CudaDevice &device() { return cuda_device(require_device(test_device())); }

    /// Runs a case, its rows made as long as the kernel's alignment wants them, and compares it with f64.
    void check(Case c) const {
        const int64_t unit = kernel().alignment / dtype_size(kernel().dtype);
        const auto up = [&](int64_t size) { return (size + unit - 1) / unit * unit; };
        if (kernel().a_transposed) c.m = up(c.m);
        if (!kernel().a_transposed || kernel().b_transposed) c.k = up(c.k);
        if (!kernel().b_transposed) c.n = up(c.n);
        SCOPED_TRACE(::testing::Message() << kernel().name << " " << c);

        const std::vector<double> a = as_multiplied(random_values(c.m * c.k, 1), kernel().dtype, kernel().tf32);
        const std::vector<double> b = as_multiplied(random_values(c.k * c.n, 2), kernel().dtype, kernel().tf32);
        const mezzo_dtype out_dtype = c.wide ? MEZZO_DTYPE_F32 : kernel().dtype;
        const Surrounded a_tensor(kernel().dtype, a, c.a_misalignment);
        const Surrounded b_tensor(kernel().dtype, b, c.b_misalignment);
        std::vector<double> before(static_cast<size_t>(c.m * c.n));
        if (c.added) before.back() = std::nan("");
        const Surrounded out(out_dtype, before, c.out_misalignment);
        const Surrounded found_inf(MEZZO_DTYPE_F32, {0});
        kernel().launch(device(),
                        {.m = c.m,
                         .n = c.n,
                         .k = c.k,
                         .dtype = kernel().dtype,
                         .a = a_tensor.data().data,
                         .b = b_tensor.data().data,
                         .a_transposed = kernel().a_transposed,
                         .b_transposed = kernel().b_transposed,
                         .out = out.data(),
                         .allow_tf32 = true,
                         .epilogue = {.add = c.added ? 1.0f : 0.0f, .found_inf = found_inf.data().as<float>()}},
                        c.splits);

        // Tensor cores may cut off where others round, and add a slice of k as terms of their own.
        const int64_t operations = 3 * (c.k + c.splits);
        Expected expected = matmul(kernel().a_transposed ? transposed(a, c.k, c.m) : a,
                                   kernel().b_transposed ? transposed(b, c.n, c.k) : b, c.m, c.k, c.n);
        expected.values.back() += before.back();
        EXPECT_TRUE(is_near(out.values(), expected, {out_dtype, MEZZO_DTYPE_F32, operations}));
        EXPECT_EQ(found_inf.values().front(), c.added ? 1 : 0) << "what lies around the matrices does not count";
        EXPECT_TRUE(a_tensor.is_intact() && b_tensor.is_intact() && out.is_intact() && found_inf.is_intact());
    }
};

TEST_P(MatmulTensor, ShapesAroundTheTile_MatchOracle) {
    const int64_t m = kernel().tile_m;
    const int64_t n = kernel().tile_n;
    const int64_t k = kernel().tile_k;
    for (const Case &c : {Case{1, 1, 1}, Case{7, 15, 17}, Case{16, 31, 33}, Case{33, 16, 63}, Case{m - 1, n + 1, k - 1},
                          Case{m + 1, n - 1, k + 1}, Case{65, 63, 127}, Case{150, 150, 150}}) {
        check(c);
    }
}

TEST_P(MatmulTensor, DepthsAroundTheRing_MatchOracle) {
    const int64_t k = kernel().tile_k;
    const int64_t ring = k * kernel().stages;
    for (const int64_t depth : {ring - k, ring - 1, ring, ring + 1, ring + k + 1, 2 * ring + 7}) {
        check({20, 24, depth});
        check({20, 24, 3 * depth - 5, 3});
    }
}

TEST_P(MatmulTensor, RowsOfAnyAlignment_AreReadWhereTheyAre) {
    if (kernel().alignment == 16) {
        const int64_t chunk = 16 / dtype_size(kernel().dtype);
        check({24, 40, 72, 1, chunk, 3 * chunk});
        return;
    }
    for (const int64_t odd : {0, 1}) {
        for (const int64_t a : {0, 1, 2}) {
            for (const int64_t b : {0, 1, 2}) check({66 + odd, 70 + odd, 74 + odd, 1, a, b});
        }
    }
    // Whole words of one operand, single elements of the other.
    check({66, 71, 74});
    check({67, 70, 75});
}

TEST_P(MatmulTensor, OutOfAnyAlignment_IsWrittenAsItCanBe) {
    for (const bool wide : {false, true}) {
        for (const int64_t misalignment : {0, 1, 2}) {
            check({18, kernel().tile_n + 8, 9, 1, 0, 0, misalignment, wide}); // quads
            check({18, kernel().tile_n + 6, 9, 1, 0, 0, misalignment, wide}); // pairs
            check({18, kernel().tile_n + 5, 9, 1, 0, 0, misalignment, wide}); // elements
        }
    }
}

TEST_P(MatmulTensor, OutOfEachWidth_IsLookedAtToTheLast) {
    for (const int64_t more : {8, 6, 5}) { // quads, pairs, elements
        check({.m = 18, .n = kernel().tile_n + more, .k = 9, .wide = true, .added = true});
    }
}

/// Those of them that use tensor cores.
std::vector<const MatmulKernel *> tensor_kernels_of_device() {
    std::vector<const MatmulKernel *> kernels = kernels_of_device();
    std::erase_if(kernels, [](const MatmulKernel *kernel) { return kernel->unit == MatmulUnit::kFma; });
    return kernels;
}

INSTANTIATE_TEST_SUITE_P(All, MatmulTensor, ::testing::ValuesIn(tensor_kernels_of_device()),
                         [](const auto &kernel) { return std::string(kernel.param->name); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(MatmulTensor);

} // namespace
} // namespace mezzo::testing
