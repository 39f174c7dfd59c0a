// SPDX-License-Identifier: MIT
// Every kernel of matrix products, by its launch function, whether or not it would be chosen: each option of the
// epilogue alone and all together, at sizes that no tile divides; then whole products as matmul() runs them.
#include "cuda/matmul.h"

#include "support/matmul_kernels.h"
#include "support/matmul_product.h"
#include "support/oracle.h"
#include "support/status.h"
#include "support/surrounded.h"

#if defined(MEZZO_CUDA_SIM)
#include <cuda_sim/control.h>
#endif

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <utility>

namespace mezzo::testing {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

CudaDevice &device() {
    return cuda_device(require_device(test_device()));
}

/// Tensor cores may cut off where others round, and add slices of k as terms of their own.
int64_t slack_of(const MatmulKernel &kernel) {
    return kernel.unit == MatmulUnit::kFma ? 1 : 3;
}

constexpr int64_t kMostBlocks = std::numeric_limits<int32_t>::max();

/// A product of matrices that are nowhere, for what must be refused before anything is read.
MatmulProblem unreal(const Layout &layout, int64_t m, int64_t n, int64_t k, int64_t batch) {
    auto *const nowhere = reinterpret_cast<std::byte *>(uintptr_t{0x10000});
    return {.m = m,
            .n = n,
            .k = k,
            .batch = batch,
            .dtype = layout.dtype,
            .a = nowhere,
            .b = nowhere,
            .a_transposed = layout.a_transposed,
            .b_transposed = layout.b_transposed,
            .out_batch_stride = m * n,
            .out = {nowhere, layout.dtype, batch * m * n},
            .allow_tf32 = layout.tf32,
            .epilogue = {}};
}

/// What a launch throws.
std::string error_of(const std::function<void()> &launch) {
    try {
        launch();
    } catch (const Error &error) {
        return error.what();
    }
    return "nothing was thrown";
}

std::string refusal(int64_t m, int64_t n, int64_t k) {
    return "a product of " + std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k) +
           " takes more than 2^31 - 1 blocks";
}

class MatmulKernels : public ::testing::TestWithParam<const MatmulKernel *> {
  protected:
    const MatmulKernel &kernel() const { return *GetParam(); }
    Layout layout() const { return {kernel().dtype, kernel().tf32, kernel().a_transposed, kernel().b_transposed}; }

    /// Runs a case, made to fit the kernel: its sizes no larger and its rows as aligned as the kernel wants them.
    std::vector<std::vector<uint8_t>> check(Case c) const {
        const int64_t unit = kernel().alignment / dtype_size(kernel().dtype);
        const auto up = [&](int64_t size) { return (size + unit - 1) / unit * unit; };
        if (kernel().a_transposed) c.m = up(c.m);
        if (!kernel().a_transposed || kernel().b_transposed) c.k = up(c.k);
        if (!kernel().b_transposed) c.n = up(c.n);
        c.m = std::min(c.m, kernel().largest_m);
        c.n = std::min(c.n, kernel().largest_n);
        c.misalignment = up(c.misalignment);
        SCOPED_TRACE(::testing::Message() << kernel().name << " " << c);
        const Product product(layout(), c);
        kernel().launch(device(), product.problem(), c.splits);
        product.expect(slack_of(kernel()));
        return product.bytes();
    }

    // A part of a tile; a tile and a little of the next.
    int64_t part_m() const { return kernel().tile_m / 2 + 1; }
    int64_t part_n() const { return kernel().tile_n / 2 + 3; }
    int64_t more_m() const { return kernel().tile_m + 1; }
    int64_t more_n() const { return kernel().tile_n + 3; }
    int64_t k() const { return kernel().tile_k + 5; }

    /// Two tiles, the second of which lacks little, whatever check() makes of the size.
    int64_t nearly_two(int64_t tile) const {
        return std::max<int64_t>(1, 2 * tile - kernel().alignment / dtype_size(kernel().dtype) - 1);
    }

    /// A matrix of so many tiles, the last of which has one row or column.
    std::pair<int64_t, int64_t> sizes_of(int64_t tiles) const {
        const bool few_rows = kernel().largest_m <= kernel().tile_m;
        return few_rows ? std::pair{int64_t{1}, (tiles - 1) * kernel().tile_n + 1}
                        : std::pair{(tiles - 1) * kernel().tile_m + 1, int64_t{1}};
    }
};

TEST_P(MatmulKernels, EachShape_MatchesOracle) {
    for (const int64_t k : {int64_t{1}, int64_t{3}, int64_t{kernel().tile_k}, 3 * kernel().tile_k + int64_t{2}}) {
        check({.m = 1, .n = 1, .k = k});
        check({.m = 5, .n = 2, .k = k});
        check({.m = part_m(), .n = more_n(), .k = k});
    }
    check({.m = kernel().tile_m, .n = kernel().tile_n, .k = kernel().tile_k});
    check({.m = 2 * kernel().tile_m, .n = part_n(), .k = k()});
}

TEST_P(MatmulKernels, EachOption_MatchesOracle) {
    for (const Options &options :
         {Options{.bias = true}, Options{.relu = true}, Options{.bias = true, .relu = true}, Options{.mask = true},
          Options{.add = 1}, Options{.add = 0.375f}, Options{.column_sum = true}, Options{.found_inf = true},
          Options{.column_sum = true, .accumulate_sum = true}}) {
        check({.m = part_m(), .n = part_n(), .k = k(), .options = options});
    }
    check({.m = more_m(), .n = more_n(), .k = k(), .options = kAll});
}

TEST_P(MatmulKernels, EachDTypeOfTheEpilogue_MatchesOracle) {
    for (const bool wide_out : {false, true}) {
        for (const bool wide_others : {false, true}) {
            Options options = kAll;
            options.wide_out = wide_out;
            options.wide_others = wide_others;
            check({.m = 6, .n = 10, .k = k(), .options = options});
            check({.m = 6, .n = 7, .k = k(), .options = options});
            check({.m = 6, .n = 12, .k = k(), .misalignment = 1, .options = options});
        }
    }
}

TEST_P(MatmulKernels, PartsOfK_MatchOracle) {
    for (const int splits : {2, 5}) {
        check({.m = part_m(), .n = more_n(), .k = 4 * kernel().tile_k + 3, .splits = splits});
        check({.m = 9, .n = 13, .k = 5 * kernel().tile_k, .splits = splits, .options = kAll});
    }
    check({.m = 3, .n = 5, .k = 7, .splits = 9, .options = kAll}); // more parts than k has tiles
}

TEST_P(MatmulKernels, Batches_MatchOracle) {
    check({.m = 10, .n = 7, .k = k(), .batch = 3, .options = kAll});
    check({.m = 7, .n = 12, .k = k(), .batch = 3, .b_shared = true, .options = {.column_sum = true}});
    check({.m = 5, .n = 6, .k = 3 * kernel().tile_k, .batch = 2, .splits = 2, .options = kAll});
}

TEST_P(MatmulKernels, BatchesOfSeveralTiles_MatchOracle) {
    constexpr int64_t kFew = 5;
    const int64_t m = nearly_two(kernel().tile_m), n = nearly_two(kernel().tile_n), k = kernel().tile_k + kFew;
    for (const Case &c : {Case{.m = more_m(), .n = more_n(), .k = kFew, .b_shared = true},
                          Case{.m = m, .n = more_n(), .k = kFew, .planted = Planted::kOverflow},
                          Case{.m = more_m(), .n = 13, .k = kFew, .planted = Planted::kSum},
                          Case{.m = more_m(), .n = n, .k = k, .splits = 2, .planted = Planted::kOverflow},
                          Case{.m = more_m(), .n = 13, .k = k, .splits = 2, .planted = Planted::kSum}}) {
        Case batch = c;
        batch.batch = 2;
        batch.options = kAll;
        check(batch);
    }
}

// As a trainer asks for a weight's gradient: f32 of halves, added to what was there. All products of f16 fit into f32.
TEST_P(MatmulKernels, WideGradients_AreLookedAtToTheLast) {
    if (!dtype_is_half(kernel().dtype)) return;
    const int64_t m = nearly_two(kernel().tile_m), n = nearly_two(kernel().tile_n), k = 2 * kernel().tile_k + 1;
    for (const Case &c : {Case{.m = m, .n = more_n(), .k = 2, .planted = Planted::kInf},
                          Case{.m = 9, .n = 13, .k = 2, .planted = Planted::kOverflow},
                          Case{.m = more_m(), .n = n, .k = k, .splits = 3, .planted = Planted::kNaN},
                          Case{.m = 9, .n = 13, .k = k, .splits = 3, .planted = Planted::kOverflow}}) {
        Case gradient = c;
        gradient.options = {.add = 1, .wide_out = true, .found_inf = true};
        check(gradient);
    }
}

// Only what is stored counts.
TEST_P(MatmulKernels, PartsThatWouldNotFit_AreNotFound) {
    if (kernel().dtype != MEZZO_DTYPE_F16) return;
    for (const int splits : {1, 2}) {
        check({.m = 9,
               .n = 13,
               .k = 2 * kernel().tile_k,
               .splits = splits,
               .options = kAll,
               .planted = Planted::kCancelled});
    }
}

TEST_P(MatmulKernels, Repeated_GivesTheSameBits) {
    for (const int splits : {1, 3}) {
        const Case c{.m = more_m(), .n = part_n(), .k = 3 * kernel().tile_k, .splits = splits, .options = kAll};
        EXPECT_EQ(check(c), check(c));
    }
}

// The first row's last element is not finite, nor is what lies around the matrices.
TEST_P(MatmulKernels, InfAndNaN_StayInTheirRowAndAreFound) {
    const int64_t unit = kernel().alignment / dtype_size(kernel().dtype);
    const int64_t m = std::min<int64_t>(kernel().largest_m, 3 * unit),
                  n = std::min<int64_t>(kernel().largest_n, 2 * unit);
    const int64_t k = (kernel().tile_k + unit) / unit * unit;
    for (const int splits : {1, 2}) {
        for (const double special : {0.0, kInfinity, -kInfinity, std::nan("")}) {
            for (const bool relu_too : {false, true}) {
                SCOPED_TRACE(::testing::Message() << kernel().name << " " << special << " relu " << relu_too);
                std::vector<double> a(static_cast<size_t>(m * k), 1);
                if (special != 0) a[static_cast<size_t>(kernel().a_transposed ? (k - 1) * m : k - 1)] = special;
                const Surrounded a_tensor(kernel().dtype, a);
                const Surrounded b_tensor(kernel().dtype, std::vector<double>(static_cast<size_t>(k * n), 1));
                const Surrounded out(kernel().dtype, std::vector<double>(static_cast<size_t>(m * n)));
                const Surrounded found_inf(MEZZO_DTYPE_F32, {0});
                kernel().launch(device(),
                                {.m = m,
                                 .n = n,
                                 .k = k,
                                 .dtype = kernel().dtype,
                                 .a = a_tensor.data().data,
                                 .b = b_tensor.data().data,
                                 .a_transposed = kernel().a_transposed,
                                 .b_transposed = kernel().b_transposed,
                                 .out = out.data(),
                                 .allow_tf32 = true,
                                 .epilogue = {.relu = relu_too, .found_inf = found_inf.data().as<float>()}},
                                splits);
                std::vector<double> expected(static_cast<size_t>(m * n), static_cast<double>(k));
                const double first_row = special == 0 ? static_cast<double>(k) : special;
                std::fill_n(expected.begin(), n, relu_too ? relu(first_row) : first_row);
                expected = rounded(expected, kernel().dtype);
                EXPECT_TRUE(is_identical(out.values(), expected));
                EXPECT_EQ(found_inf.values().front(), std::isfinite(expected.front()) ? 0 : 1);
                EXPECT_TRUE(out.is_intact() && found_inf.is_intact());
            }
        }
    }
}

// One tile more than blocks can be counted, however it comes about.
TEST_P(MatmulKernels, MoreThan31BitsOfBlocks_AreRefused) {
    const auto launched = [this](int64_t tiles, int64_t batch, int splits) {
        const auto [m, n] = sizes_of(tiles);
        return error_of([&] {
            kernel().launch(device(), unreal(layout(), m, n, splits * int64_t{kernel().tile_k}, batch), splits);
        });
    };
    const auto refused = [this](int64_t tiles, int splits) {
        const auto [m, n] = sizes_of(tiles);
        return refusal(m, n, splits * int64_t{kernel().tile_k});
    };
    EXPECT_EQ(launched(kMostBlocks + 1, 1, 1), refused(kMostBlocks + 1, 1));
    EXPECT_EQ(launched(kMostBlocks / 2 + 1, 2, 1), refused(kMostBlocks / 2 + 1, 1));
    EXPECT_EQ(launched(kMostBlocks / 2 + 1, 1, 2), refused(kMostBlocks / 2 + 1, 2));
#if defined(MEZZO_CUDA_SIM)
    cuda_sim::inject(cudaErrorInvalidConfiguration, cuda_sim::Call::kLaunch); // which is as far as it is to come
    EXPECT_EQ(launched(kMostBlocks, 1, 1).find("cudaLaunchKernel answered cudaErrorInvalidConfiguration"), 0u);
#endif
}

INSTANTIATE_TEST_SUITE_P(All, MatmulKernels, ::testing::ValuesIn(kernels_of_device()),
                         [](const auto &kernel) { return std::string(kernel.param->name); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(MatmulKernels);

/// Products as matmul() runs them, in every layout.
class Matmul : public ::testing::TestWithParam<mezzo_dtype> {
  protected:
    static void check(const Layout &layout, const Case &c) {
        SCOPED_TRACE(::testing::Message()
                     << layout.a_transposed << layout.b_transposed << " tf32 " << layout.tf32 << " " << c);
        const Product product(layout, c);
        matmul(device(), product.problem());
        constexpr int64_t kTensorCores = 3;
        product.expect(dtype_is_half(layout.dtype) || layout.tf32 ? kTensorCores : 1);
    }
};

TEST_P(Matmul, AnyProblem_MatchesOracle) {
    for (const bool a_transposed : {false, true}) {
        for (const bool b_transposed : {false, true}) {
            const Layout layout{GetParam(), false, a_transposed, b_transposed};
            for (const Case &c : std::vector<Case>{{.m = 1, .n = 1, .k = 1},
                                                   {.m = 70, .n = 1, .k = 150},
                                                   {.m = 1, .n = 70, .k = 150},
                                                   {.m = 3, .n = 65, .k = 33},
                                                   {.m = 65, .n = 4, .k = 33},
                                                   {.m = 40, .n = 150, .k = 1},
                                                   {.m = 64, .n = 72, .k = 96},
                                                   {.m = 30, .n = 20, .k = 2000},
                                                   {.m = 33, .n = 17, .k = 50, .batch = 3, .b_shared = true}}) {
                check(layout, c);
                Case with_options = c;
                with_options.options = kAll;
                with_options.misalignment = 1;
                check(layout, with_options);
            }
        }
    }
}

// For f16 the sums overflow when they are stored, in the others as they are made.
TEST_P(Matmul, Overflow_IsFound) {
    const mezzo_dtype dtype = GetParam();
    const double factor = dtype == MEZZO_DTYPE_F16 ? 128 : dtype == MEZZO_DTYPE_F64 ? 0x1p511 : 0x1p63;
    for (const double times : {1.0, 8.0}) {
        for (const double before : {0.0, 1.0}) {
            SCOPED_TRACE(::testing::Message() << times << " times, found_inf " << before);
            const Surrounded a(dtype, std::vector<double>(30 * 2, factor));
            const Surrounded b(dtype, std::vector<double>(2 * 20, factor * times));
            const Surrounded out(dtype, std::vector<double>(30 * 20));
            const Surrounded found_inf(MEZZO_DTYPE_F32, {before});
            matmul(device(), {.m = 30,
                              .n = 20,
                              .k = 2,
                              .dtype = dtype,
                              .a = a.data().data,
                              .b = b.data().data,
                              .out = out.data(),
                              .epilogue = {.found_inf = found_inf.data().as<float>()}});
            const double expected = 2 * factor * factor * times;
            const bool overflows = times > 1;
            EXPECT_EQ(out.values(), std::vector<double>(30 * 20, overflows ? kInfinity : expected));
            EXPECT_EQ(found_inf.values().front(), overflows ? 1 : before);
        }
    }
}

TEST_P(Matmul, MoreThan31BitsOfBlocks_AreRefused) {
    constexpr int64_t kLargestTile = 256, kRows = kLargestTile * (kMostBlocks + 1);
    const MatmulProblem problem = unreal({.dtype = GetParam()}, kRows, 8, 8, 1);
    EXPECT_EQ(error_of([&] { matmul(device(), problem); }), refusal(kRows, 8, 8));
}

std::vector<mezzo_dtype> dtypes_of_device() {
    return test_device().type == MEZZO_DEVICE_TYPE_CUDA ? kFloatingDTypes : std::vector<mezzo_dtype>();
}

INSTANTIATE_TEST_SUITE_P(All, Matmul, ::testing::ValuesIn(dtypes_of_device()));
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Matmul);

} // namespace
} // namespace mezzo::testing
