// SPDX-License-Identifier: MIT
// Every tensor-core kernel, by its launch function, whether or not it would be chosen: shapes around the edges of its
// tile and of its pipeline, alignments, batches, parts of k, options of the epilogue.
#include "cuda/matmul.h"

#include "support/oracle.h"
#include "support/status.h"

#include <cmath>
#include <limits>
#include <optional>

namespace mezzo::testing {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// A product to test, but for the kernel.
struct Case {
    int64_t m, n, k;
    int64_t batch = 1;
    int splits = 1;
    bool b_shared = false;        // by the members of the batch
    int64_t misalignment = 0;     // elements that a and b begin after a 16-byte boundary
    int64_t out_misalignment = 0; // the same of what the epilogue reads and writes
    bool epilogue = false;        // bias, ReLU, mask, accumulation, sums of columns, and the check
    bool wide = false;            // out of f32 for a half
    uint64_t seed = 1;
};

std::ostream &operator<<(std::ostream &out, const Case &c) {
    return out << c.m << "x" << c.n << "x" << c.k << " batch " << c.batch << " splits " << c.splits << " misaligned "
               << c.misalignment << " and " << c.out_misalignment << " epilogue " << c.epilogue << " wide " << c.wide;
}

/// A tensor amid NaN, which a kernel that reads past its ends would spread, and one that writes there would change.
class Surrounded {
  public:
    Surrounded(mezzo_dtype dtype, const std::vector<double> &values, int64_t misalignment = 0)
        : count_(static_cast<int64_t>(values.size())),
          offset_(kMargin + misalignment),
          storage_(dtype, {count_ + 2 * kMargin}, std::vector<double>(values.size() + 2 * kMargin, kNan)),
          view_(storage_.view(offset_, {count_})) {
        view_.write(values);
    }

    std::byte *data() const { return require_tensor(view_.handle(), "data").bytes_data(); }
    TensorData tensor() const { return require_tensor(view_.handle(), "tensor"); }
    std::vector<double> values() const { return view_.values(); }
    std::vector<uint8_t> bytes() const { return view_.bytes(); }

    /// Whether the surroundings are what they were.
    bool is_intact() const {
        const std::vector<double> all = storage_.values();
        for (int64_t i = 0; i < static_cast<int64_t>(all.size()); ++i) {
            const bool inside = i >= offset_ && i < offset_ + count_;
            if (!inside && !std::isnan(all[static_cast<size_t>(i)])) return false;
        }
        return true;
    }

  private:
    static constexpr int64_t kMargin = 64;
    int64_t count_, offset_;
    TestTensor storage_, view_;
};

/// The elements as a kernel multiplies them.
std::vector<double> as_multiplied(const std::vector<double> &values, const MatmulKernel &kernel) {
    std::vector<double> result = rounded(values, kernel.dtype);
    if (!kernel.tf32) return result;
    constexpr int kFraction = 10;
    for (double &value : result) {
        int exponent = 0;
        const double fraction = std::frexp(value, &exponent);
        value = std::ldexp(std::round(std::ldexp(fraction, kFraction + 1)), exponent - kFraction - 1);
    }
    return result;
}

class MatmulTensor : public ::testing::TestWithParam<const MatmulKernel *> {
  protected:
    const MatmulKernel &kernel() const { return *GetParam(); }
    static CudaDevice &device() { return cuda_device(require_device(test_device())); }

    /// The smallest size from `size` on that the kernel's alignment allows for a row.
    int64_t row(int64_t size) const {
        const int64_t elements = kernel().alignment / dtype_size(kernel().dtype);
        return (size + elements - 1) / elements * elements;
    }

    /// A case with sizes that the kernel takes.
    Case fitted(Case c) const {
        if (kernel().a_transposed) c.m = row(c.m);
        if (!kernel().a_transposed || kernel().b_transposed) c.k = row(c.k);
        if (!kernel().b_transposed) c.n = row(c.n);
        return c;
    }

    /// Runs a case and compares it with the product in f64. Returns the bytes of out.
    std::vector<uint8_t> check(const Case &asked) const;
};

std::vector<uint8_t> MatmulTensor::check(const Case &asked) const {
    const Case c = fitted(asked);
    SCOPED_TRACE(::testing::Message() << kernel().name << " " << c);
    const mezzo_dtype out_dtype = c.wide ? MEZZO_DTYPE_F32 : kernel().dtype;
    const int64_t b_members = c.b_shared ? 1 : c.batch;
    const std::vector<double> a = random_values(c.batch * c.m * c.k, c.seed);
    const std::vector<double> b = random_values(b_members * c.k * c.n, c.seed + 1);
    const std::vector<double> before = rounded(random_values(c.batch * c.m * c.n, c.seed + 2), out_dtype);
    const std::vector<double> mask = rounded(random_values(c.batch * c.m * c.n, c.seed + 3), out_dtype);
    const std::vector<double> bias = rounded(random_values(c.n, c.seed + 4), out_dtype);

    const Surrounded a_tensor(kernel().dtype, a, c.misalignment);
    const Surrounded b_tensor(kernel().dtype, b, c.misalignment);
    const Surrounded out(out_dtype, before, c.out_misalignment);
    const Surrounded mask_tensor(out_dtype, mask, c.out_misalignment);
    const Surrounded bias_tensor(out_dtype, bias, c.out_misalignment);
    const Surrounded column_sum(MEZZO_DTYPE_F32, std::vector<double>(static_cast<size_t>(c.n)));
    const Surrounded found_inf(MEZZO_DTYPE_F32, {0});

    MatmulProblem problem{.m = c.m,
                          .n = c.n,
                          .k = c.k,
                          .batch = c.batch,
                          .dtype = kernel().dtype,
                          .a = a_tensor.data(),
                          .b = b_tensor.data(),
                          .a_transposed = kernel().a_transposed,
                          .b_transposed = kernel().b_transposed,
                          .a_batch_stride = c.m * c.k,
                          .b_batch_stride = c.b_shared ? 0 : c.k * c.n,
                          .out_batch_stride = c.m * c.n,
                          .out = out.tensor(),
                          .allow_tf32 = true,
                          .epilogue = {}};
    if (c.epilogue) {
        problem.epilogue = {.bias = bias_tensor.tensor(),
                            .relu = true,
                            .mask = mask_tensor.tensor(),
                            .accumulate = true,
                            .column_sum = column_sum.tensor(),
                            .accumulate_sum = false,
                            .found_inf = reinterpret_cast<float *>(found_inf.data())};
    }
    EXPECT_LE(kernel().alignment, matmul_alignment(problem));
    kernel().launch(device(), problem, c.splits);

    Expected expected;
    for (int64_t member = 0; member < c.batch; ++member) {
        const auto part = [&](const std::vector<double> &all, int64_t index, int64_t rows, int64_t columns,
                              bool transpose) {
            const auto first = all.begin() + index * rows * columns;
            const std::vector<double> matrix = as_multiplied({first, first + rows * columns}, kernel());
            return transpose ? transposed(matrix, columns, rows) : matrix;
        };
        const Expected product =
            matmul(part(a, member, c.m, c.k, kernel().a_transposed),
                   part(b, c.b_shared ? 0 : member, c.k, c.n, kernel().b_transposed), c.m, c.k, c.n);
        for (size_t i = 0; i < product.values.size(); ++i) {
            const size_t at = static_cast<size_t>(member) * product.values.size() + i;
            double value = product.values[i];
            double magnitude = product.magnitudes[i];
            if (c.epilogue) {
                const double added = bias[i % static_cast<size_t>(c.n)];
                value = mask[at] <= 0 ? before[at] : relu(value + added) + before[at];
                magnitude += std::abs(added) + std::abs(before[at]);
            }
            expected.values.push_back(value);
            expected.magnitudes.push_back(magnitude);
        }
    }
    // Tensor cores may cut off where others round, which errs twice as much, and they add every slice of k to the sum
    // so far as one term more.
    const int64_t operations = 2 * (c.k + c.k / 4 + c.splits + 3);
    EXPECT_TRUE(is_near(out.values(), expected, {out_dtype, MEZZO_DTYPE_F32, operations}));
    EXPECT_TRUE(a_tensor.is_intact() && b_tensor.is_intact() && out.is_intact());

    if (c.epilogue) {
        const std::vector<double> stored = out.values();
        Expected sums{std::vector<double>(static_cast<size_t>(c.n)), std::vector<double>(static_cast<size_t>(c.n))};
        for (size_t i = 0; i < stored.size(); ++i) {
            sums.values[i % static_cast<size_t>(c.n)] += stored[i];
            sums.magnitudes[i % static_cast<size_t>(c.n)] += std::abs(stored[i]);
        }
        EXPECT_TRUE(is_near(column_sum.values(), sums, {MEZZO_DTYPE_F32, MEZZO_DTYPE_F32, c.batch * c.m}));
        EXPECT_EQ(found_inf.values(), std::vector<double>{0});
        EXPECT_TRUE(column_sum.is_intact() && found_inf.is_intact());
    }
    return out.bytes();
}

TEST_P(MatmulTensor, AnyShape_IsWithinTheBoundOfItsSums) {
    const int64_t m = kernel().tile_m;
    const int64_t n = kernel().tile_n;
    const int64_t k = kernel().tile_k;
    const int64_t ring = k * kernel().stages;
    const std::vector<Case> cases = {
        {.m = 1, .n = 1, .k = 1},
        {.m = 7, .n = 15, .k = 17},
        {.m = 17, .n = 7, .k = 63},
        {.m = 31, .n = 33, .k = k - 1},
        {.m = m, .n = n, .k = k},
        {.m = m - 1, .n = n + 1, .k = k + 1},
        {.m = m + 1, .n = n - 1, .k = ring - 1},
        {.m = 65, .n = 65, .k = ring},
        {.m = 63, .n = 127, .k = ring + 1},
        {.m = 129, .n = 64, .k = 2 * ring + 7},
        {.m = 150, .n = 150, .k = 150},
    };
    for (const Case &c : cases) check(c);
}

TEST_P(MatmulTensor, RowsOfAnyAlignment_AreReadWhereTheyAre) {
    if (kernel().alignment == 16) {
        check({.m = 24, .n = 40, .k = 48, .misalignment = 16 / dtype_size(kernel().dtype)});
        return;
    }
    for (const int64_t odd : {0, 1}) {
        for (const int64_t misalignment : {0, 1, 2}) {
            check({.m = 66 + odd, .n = 70 + odd, .k = 74 + odd, .misalignment = misalignment});
        }
    }
    // One operand in whole words, the other by elements.
    check({.m = 66, .n = 71, .k = 74});
    check({.m = 67, .n = 70, .k = 75});
}

TEST_P(MatmulTensor, PartsOfK_AreAddedInOrder) {
    const int64_t k = kernel().tile_k;
    for (const int splits : {2, 3, 7}) {
        check({.m = 40, .n = 70, .k = 5 * k + 3, .splits = splits});
        check({.m = 65, .n = 33, .k = 7 * k, .splits = splits, .epilogue = true});
    }
}

TEST_P(MatmulTensor, Batches_AreSeparate) {
    check({.m = 33, .n = 40, .k = 50, .batch = 3});
    check({.m = 70, .n = 24, .k = 40, .batch = 2, .b_shared = true, .epilogue = true});
    check({.m = 24, .n = 70, .k = 6 * kernel().tile_k, .batch = 2, .splits = 2, .epilogue = true});
}

TEST_P(MatmulTensor, TheEpilogue_SeesEveryElementOnce) {
    const int64_t m = kernel().tile_m;
    const int64_t n = kernel().tile_n;
    check({.m = m + 1, .n = n + 3, .k = 40, .epilogue = true});
    check({.m = 150, .n = 150, .k = 150, .epilogue = true});
    check({.m = m - 1, .n = n - 1, .k = 9, .epilogue = true, .wide = true});
    check({.m = 31, .n = 2, .k = 33, .wide = true});
    for (const int64_t misalignment : {1, 2}) {
        check({.m = 20, .n = n, .k = 16, .out_misalignment = misalignment, .epilogue = true});
        check({.m = 20, .n = n, .k = 16, .out_misalignment = misalignment, .epilogue = true, .wide = true});
    }
}

TEST_P(MatmulTensor, TheSameProduct_IsTheSameToTheBit) {
    const Case c{.m = 130, .n = 90, .k = 5 * kernel().tile_k, .splits = 2, .epilogue = true};
    const std::vector<uint8_t> first = check(c);
    EXPECT_EQ(check(c), first);
}

TEST_P(MatmulTensor, InfinityAndNan_StayInTheirRow) {
    const Case c = fitted({.m = 20, .n = 24, .k = 40});
    const bool by_columns = kernel().a_transposed;
    std::vector<double> a(static_cast<size_t>(c.m * c.k), 1);
    const auto put = [&](int64_t i, int64_t depth, double value) {
        a[static_cast<size_t>(by_columns ? depth * c.m + i : i * c.k + depth)] = value;
    };
    put(3, c.k - 1, std::numeric_limits<double>::infinity());
    put(5, 0, kNan);
    const Surrounded a_tensor(kernel().dtype, a);
    const Surrounded b_tensor(kernel().dtype, std::vector<double>(static_cast<size_t>(c.k * c.n), 1));
    const Surrounded out(kernel().dtype, std::vector<double>(static_cast<size_t>(c.m * c.n)));
    const Surrounded found_inf(MEZZO_DTYPE_F32, {0});
    kernel().launch(device(),
                    {.m = c.m,
                     .n = c.n,
                     .k = c.k,
                     .dtype = kernel().dtype,
                     .a = a_tensor.data(),
                     .b = b_tensor.data(),
                     .a_transposed = kernel().a_transposed,
                     .b_transposed = kernel().b_transposed,
                     .out = out.tensor(),
                     .allow_tf32 = true,
                     .epilogue = {.found_inf = reinterpret_cast<float *>(found_inf.data())}},
                    1);
    std::vector<double> expected;
    for (int64_t i = 0; i < c.m; ++i) {
        const double value = i == 3   ? std::numeric_limits<double>::infinity()
                             : i == 5 ? kNan
                                      : static_cast<double>(c.k);
        expected.insert(expected.end(), static_cast<size_t>(c.n), value);
    }
    EXPECT_TRUE(is_identical(out.values(), expected));
    EXPECT_EQ(found_inf.values(), std::vector<double>{1});
}

/// The kernels that the device of the test has; none in the CPU's run.
std::vector<const MatmulKernel *> kernels_of_device() {
    std::vector<const MatmulKernel *> kernels;
    if (test_device().type != MEZZO_DEVICE_TYPE_CUDA) return kernels;
    for (const MatmulKernel *kernel : matmul_kernels()) {
        if (kernel->unit == MatmulUnit::kTensorCore) kernels.push_back(kernel);
    }
    return kernels;
}

INSTANTIATE_TEST_SUITE_P(Kernels, MatmulTensor, ::testing::ValuesIn(kernels_of_device()),
                         [](const auto &kernel) { return std::string(kernel.param->name); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(MatmulTensor);

} // namespace
} // namespace mezzo::testing
