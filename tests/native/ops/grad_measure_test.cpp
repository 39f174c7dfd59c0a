// SPDX-License-Identifier: MIT
// unscale with norms and statistics.
#include <mezzo/ops.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "support/every_device.h"
#include "support/graph.h"
#include "support/oracle.h"
#include "support/status.h"
#include "support/thread_counts.h"

#if defined(MEZZO_CUDA_SIM)
#include <cuda_sim/control.h>
#endif

namespace mezzo::testing {
namespace {

constexpr double kNoExponent = std::numeric_limits<int32_t>::min();

/// Gradients and everything that can be measured of them.
class Measured {
  public:
    explicit Measured(std::vector<TestTensor> tensors)
        : grads(std::move(tensors)),
          norms(grads.empty() ? TestTensor() : TestTensor(MEZZO_DTYPE_F64, {count()})),
          stats(grads.empty() ? TestTensor() : TestTensor(MEZZO_DTYPE_I64, {count(), 4})) {}

    /// `count` of odd sizes, below and above a block of a sum, of all dtypes, every third one misaligned.
    static Measured many(int count) {
        constexpr int64_t kSizes[] = {1, 150, 7, 4099, 33, 1023, 4096, 3, 8200, 512, 5, 40961};
        std::vector<TestTensor> tensors;
        for (int k = 0; k < count; ++k) {
            const mezzo_dtype dtype = kFloatingDTypes[static_cast<size_t>(k % 4)];
            const int64_t elements = k < 36 ? kSizes[k % 12] : k % 97 + 1;
            std::vector<double> values = random_values(elements, static_cast<uint64_t>(k));
            for (size_t i = 0; i < values.size(); i += 5) values[i] = 0;
            tensors.push_back(k % 3 == 2 ? TestTensor::misaligned(dtype, {elements}, values)
                                         : TestTensor(dtype, {elements}, values));
        }
        return Measured(std::move(tensors));
    }

    static Measured one(mezzo_dtype dtype, const std::vector<double> &values) {
        std::vector<TestTensor> tensors;
        tensors.emplace_back(dtype, Shape{static_cast<int64_t>(values.size())}, values);
        return Measured(std::move(tensors));
    }

    Measured on_cpu() const {
        std::vector<TestTensor> tensors;
        for (const TestTensor &grad : grads) tensors.push_back(testing::on_cpu(grad));
        Measured measured(std::move(tensors));
        for (const auto result :
             {&Measured::norms, &Measured::stats, &Measured::found_inf, &Measured::norm, &Measured::summary}) {
            measured.*result = testing::on_cpu(this->*result);
        }
        return measured;
    }

    int64_t count() const { return static_cast<int64_t>(grads.size()); }

    /// Index of the first gradient with Inf or NaN.
    double first() const { return summary.values()[MEZZO_GRAD_SUMMARY_FIRST]; }

    mezzo_unscale_desc all(bool check_only, bool only_if_found = false) const {
        return {sizeof(mezzo_unscale_desc), check_only ? 1 : 0, only_if_found ? 1 : 0, 0, norm, norms, stats, summary};
    }

    mezzo_status run(mezzo_tensor scale, const mezzo_unscale_desc &desc) const {
        const std::vector<mezzo_tensor> handles(grads.begin(), grads.end());
        return mezzo_unscale(found_inf, handles.data(), static_cast<int32_t>(handles.size()), scale, &desc);
    }

    /// All bytes that the op may write.
    std::vector<uint8_t> bytes() const {
        std::vector<uint8_t> all;
        const auto append = [&](const TestTensor &tensor) {
            if (tensor.handle().id == 0) return;
            const std::vector<uint8_t> part = tensor.bytes();
            all.insert(all.end(), part.begin(), part.end());
        };
        for (const TestTensor &grad : grads) append(grad);
        for (const auto result : {&norms, &stats, &found_inf, &norm, &summary}) append(*result);
        return all;
    }

    std::vector<TestTensor> grads;
    TestTensor norms, stats;
    TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
    TestTensor norm = TestTensor::scalar(MEZZO_DTYPE_F64, -1);
    TestTensor summary{MEZZO_DTYPE_I64, {MEZZO_GRAD_SUMMARY_LENGTH}, std::vector<double>(5, -7)};
};

/// {Inf, NaN, 0, exponent} of a gradient, by the library's functions.
std::vector<double> counted(const std::vector<double> &values) {
    std::vector<double> stats = {0, 0, 0, kNoExponent};
    for (const double value : values) {
        stats[0] += std::isinf(value) ? 1 : 0;
        stats[1] += std::isnan(value) ? 1 : 0;
        stats[2] += value == 0 ? 1 : 0;
        if (std::isfinite(value) && value != 0) stats[3] = std::max(stats[3], static_cast<double>(std::ilogb(value)));
    }
    return stats;
}

/// The norm in extended precision.
double norm_of(const std::vector<double> &values) {
    long double sum = 0;
    for (const double value : values) sum += static_cast<long double>(value) * value;
    return static_cast<double>(std::sqrt(sum));
}

/// Relative error of a norm: of the sum, halved by the root, of the root and of the factor.
constexpr double kNormError = (5 * (4096 / 32 + 5) + 4) * 0x1p-53;

TEST(GradMeasure, Norms_AreThoseOfUnscaledGradients) {
    for (const bool check_only : {true, false}) {
        const Measured measured = Measured::many(36);
        const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 3);
        std::vector<std::vector<double>> before;
        for (const TestTensor &grad : measured.grads) before.push_back(grad.values());
        ASSERT_OK(measured.run(scale, measured.all(check_only)));
        const double factor = static_cast<double>(1.0F / 3.0F);
        std::vector<double> all;
        const std::vector<double> norms = measured.norms.values();
        for (size_t k = 0; k < before.size(); ++k) {
            const double expected = norm_of(before[k]) * factor;
            EXPECT_NEAR(norms[k], expected, kNormError * expected) << k;
            all.insert(all.end(), before[k].begin(), before[k].end());
        }
        const double expected = norm_of(all) * factor;
        EXPECT_NEAR(measured.norm.item(), expected, kNormError * expected);
        EXPECT_EQ(measured.found_inf.item(), 0);
        EXPECT_EQ(measured.first(), -1);
    }
}

TEST(GradMeasure, Grads_AreUnscaledAsWithoutMeasuring) {
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 3);
    const Measured measured = Measured::many(36);
    const Measured plain = Measured::many(36);
    const mezzo_unscale_desc nothing = {sizeof(mezzo_unscale_desc), 0, 0, 0, {}, {}, {}, {}};
    ASSERT_OK(measured.run(scale, measured.all(false)));
    ASSERT_OK(plain.run(scale, nothing));
    for (size_t k = 0; k < plain.grads.size(); ++k) EXPECT_EQ(measured.grads[k].bytes(), plain.grads[k].bytes()) << k;
    const Measured checked = Measured::many(36);
    ASSERT_OK(checked.run(scale, checked.all(true)));
    const Measured untouched = Measured::many(36);
    for (size_t k = 0; k < plain.grads.size(); ++k) EXPECT_EQ(checked.grads[k].bytes(), untouched.grads[k].bytes());
}

TEST(GradMeasure, Stats_CountWhatEachGradientHolds) {
    const Measured measured = Measured::many(36);
    for (const size_t k : {3u, 8u, 11u, 20u}) {
        std::vector<double> values = measured.grads[k].values();
        values[values.size() / 2] = INFINITY;
        values[values.size() - 1] = -static_cast<double>(INFINITY);
        if (k != 3) values[0] = NAN;
        measured.grads[k].write(values);
    }
    ASSERT_OK(measured.run({}, measured.all(true)));
    const std::vector<double> stats = measured.stats.values();
    for (size_t k = 0; k < measured.grads.size(); ++k) {
        const std::vector<double> row(stats.begin() + 4 * static_cast<int64_t>(k),
                                      stats.begin() + 4 * static_cast<int64_t>(k) + 4);
        EXPECT_EQ(row, counted(measured.grads[k].values())) << k;
    }
    std::vector<double> all;
    for (const TestTensor &grad : measured.grads) {
        const std::vector<double> values = grad.values();
        all.insert(all.end(), values.begin(), values.end());
    }
    std::vector<double> summary = counted(all);
    summary.push_back(3);
    EXPECT_EQ(measured.summary.values(), summary);
    EXPECT_EQ(measured.found_inf.item(), 1);
    EXPECT_TRUE(std::isnan(measured.norm.item()));
    EXPECT_EQ(measured.norms.values()[3], INFINITY);
}

TEST(GradMeasure, Stats_OfExtremeNumbers) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const double value : special_values(dtype)) {
            const Measured measured = Measured::one(dtype, {value});
            ASSERT_OK(measured.run({}, measured.all(true)));
            EXPECT_EQ(measured.stats.values(), counted(measured.grads[0].values())) << value;
        }
        const Measured measured = Measured::one(dtype, special_values(dtype));
        ASSERT_OK(measured.run({}, measured.all(true)));
        EXPECT_EQ(measured.stats.values(), counted(measured.grads[0].values()));
        EXPECT_EQ(measured.first(), 0);
    }
}

TEST(GradMeasure, OnlyIfFound_LooksIntoGradientsThatAreNotClean) {
    const Measured measured = Measured::many(12);
    std::vector<double> values = measured.grads[5].values();
    values[7] = NAN;
    measured.grads[5].write(values);
    measured.stats.write(std::vector<double>(4 * 12, 42));
    ASSERT_OK(measured.run({}, measured.all(true, true)));
    EXPECT_EQ(measured.summary.values(), (std::vector<double>{0, 0, 0, kNoExponent, -1}));
    EXPECT_EQ(measured.stats.values(), std::vector<double>(4 * 12, 42)) << "found_inf was 0";
    measured.found_inf.write({1});
    ASSERT_OK(measured.run({}, measured.all(true, true)));
    EXPECT_EQ(measured.first(), 5);
    EXPECT_EQ(measured.stats.values()[4 * 5 + 1], 1);
}

TEST(GradMeasure, WithoutGradients_IsNothing) {
    const Measured measured{std::vector<TestTensor>()};
    ASSERT_OK(measured.run({}, measured.all(true)));
    EXPECT_EQ(measured.norm.item(), 0);
    EXPECT_EQ(measured.first(), -1);
    EXPECT_EQ(measured.found_inf.item(), 0);
}

TEST(GradMeasure, OnEveryDevice_GivesTheSameBits) {
    for (const int count : {1, 2, 36, 200}) {
        for (const bool check_only : {true, false}) {
            const Measured measured = Measured::many(count);
            if (count == 200) {
                for (const size_t k : {150u, 90u})
                    measured.grads[k].write(
                        std::vector<double>(static_cast<size_t>(measured.grads[k].info().elements), INFINITY));
            }
            const Measured cpu = measured.on_cpu();
            const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 3);
            const TestTensor cpu_scale = on_cpu(scale);
            ASSERT_OK(measured.run(scale, measured.all(check_only)));
            ASSERT_OK(cpu.run(cpu_scale, cpu.all(check_only)));
            EXPECT_EQ(measured.bytes(), cpu.bytes()) << count;
        }
    }
}

TEST(GradMeasureOnCpu, Measuring_DoesNotDependOnTheNumberOfThreads) {
    expect_same_bytes_on_any_threads([] {
        const Measured measured = Measured::many(36);
        EXPECT_OK(measured.run(TestTensor::scalar(MEZZO_DTYPE_F32, 3), measured.all(false)));
        return measured.bytes();
    });
}

TEST(GradMeasure, InAGraph_MeasuresAnewWithEachLaunch) {
    const Measured measured = Measured::many(36);
    const TestGraph graph([&] { EXPECT_OK(measured.run({}, measured.all(true))); });
    for (const double value : {1.0, 2.0}) {
        measured.grads[0].write({value});
        graph.launch();
        EXPECT_EQ(measured.norms.values()[0], value);
    }
}

#if defined(MEZZO_CUDA_SIM)

TEST(GradMeasure, OnCuda_IsTwoLaunches) {
    if (test_device().type != MEZZO_DEVICE_TYPE_CUDA) return;
    const Measured measured = Measured::many(36);
    cuda_sim::mark();
    ASSERT_OK(measured.run({}, measured.all(true)));
    EXPECT_EQ(cuda_sim::counters().kernels, 2);
}

#endif

TEST(GradMeasure, Measuring_RejectsBadResultsAndDescriptors) {
    const Measured measured = Measured::many(4);
    const TestTensor wide_scalar = TestTensor::scalar(MEZZO_DTYPE_F64, 0);
    const TestTensor two(MEZZO_DTYPE_F64, {2});
    const auto fails = [&](mezzo_status status, const char *text, auto change) {
        mezzo_unscale_desc desc = measured.all(true);
        change(desc);
        EXPECT_EQ(measured.run({}, desc), status) << text;
        EXPECT_EQ(std::string(mezzo_last_error()), std::string("unscale: ") + text);
    };
    using Desc = mezzo_unscale_desc;
    fails(MEZZO_STATUS_INVALID_ARGUMENT, "desc.only_if_found is 2, expected 0 or 1",
          [](Desc &desc) { desc.only_if_found = 2; });
    fails(MEZZO_STATUS_INVALID_ARGUMENT, "desc.reserved is 1, expected 0", [](Desc &desc) { desc.reserved = 1; });
    fails(MEZZO_STATUS_DTYPE_MISMATCH, "desc.grad_norm is f32[], expected dtype f64",
          [&](Desc &desc) { desc.grad_norm = measured.found_inf; });
    fails(MEZZO_STATUS_SHAPE_MISMATCH, "desc.grad_norm is f64[2], expected f64[]",
          [&](Desc &desc) { desc.grad_norm = two; });
    fails(MEZZO_STATUS_SHAPE_MISMATCH, "desc.grad_norms is f64[2], expected f64[4]",
          [&](Desc &desc) { desc.grad_norms = two; });
    fails(MEZZO_STATUS_DTYPE_MISMATCH, "desc.grad_stats is f64[2], expected dtype i64",
          [&](Desc &desc) { desc.grad_stats = two; });
    fails(MEZZO_STATUS_SHAPE_MISMATCH, "desc.grad_stats is i64[5], expected i64[4,4]",
          [&](Desc &desc) { desc.grad_stats = measured.summary; });
    fails(MEZZO_STATUS_DTYPE_MISMATCH, "desc.grad_summary is f64[], expected dtype i64",
          [&](Desc &desc) { desc.grad_summary = wide_scalar; });
    const TestTensor second_norm = measured.norms.view(1, {});
    fails(MEZZO_STATUS_INVALID_ARGUMENT, "desc.grad_norm shares memory with desc.grad_norms, expected separate tensors",
          [&](Desc &desc) { desc.grad_norm = second_norm; });
}

} // namespace
} // namespace mezzo::testing
