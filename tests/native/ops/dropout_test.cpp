// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "device/philox.h"
#include "support/every_device.h"
#include "support/graph.h"
#include "support/oracle.h"
#include "support/status.h"
#include "support/thread_counts.h"

namespace mezzo::testing {
namespace {

constexpr uint64_t kSeed = 0x123456789abcdef;
constexpr uint64_t kStream = 0xfedcba987654321;

mezzo_dropout_desc dropping(double p, mezzo_tensor step = {}) {
    return {sizeof(mezzo_dropout_desc), 0, p, kSeed, kStream, step};
}

/// The documented words, written once more, element by element.
std::vector<double> reference(const std::vector<double> &input, double p, mezzo_dtype dtype, const int64_t *step) {
    uint64_t seed = kSeed;
    uint64_t stream = kStream;
    if (step != nullptr) {
        const philox::Block block = philox::block_at(kSeed, kStream, static_cast<uint64_t>(*step));
        seed = block.word[0] + (static_cast<uint64_t>(block.word[1]) << 32);
        stream = block.word[2] + (static_cast<uint64_t>(block.word[3]) << 32);
    }
    const double factor = rounded({1 / (1 - p)}, arithmetic_of(dtype))[0];
    std::vector<double> out(input.size());
    for (size_t i = 0; i < out.size(); ++i) {
        const uint32_t word = philox::block_at(seed, stream, i / 4).word[i % 4];
        out[i] = static_cast<double>(word) < std::nearbyint((1 - p) * 0x1p32) ? input[i] * factor : 0;
    }
    return rounded(rounded(out, arithmetic_of(dtype)), dtype);
}

TEST(Dropout, IsTheDocumentedFunctionForEveryDTypeAndShape) {
    const int64_t steps[] = {0, 7, int64_t{1} << 40};
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const TestTensor input = TestTensor::misaligned(dtype, shape, random_values(elements_of(shape), 1));
            const TestTensor out(dtype, shape);
            const mezzo_dropout_desc desc = dropping(0.3);
            ASSERT_OK(mezzo_dropout_forward(out, input, &desc));
            EXPECT_TRUE(is_identical(out.values(), reference(input.values(), 0.3, dtype, nullptr)));
            const TestTensor aligned(dtype, shape, input.values());
            for (const int64_t step : steps) {
                const TestTensor counter = TestTensor::scalar(MEZZO_DTYPE_I64, static_cast<double>(step));
                const mezzo_dropout_desc at_step = dropping(0.9, counter);
                ASSERT_OK(mezzo_dropout_forward(out, aligned, &at_step));
                EXPECT_TRUE(is_identical(out.values(), reference(input.values(), 0.9, dtype, &step)));
            }
            ASSERT_OK(mezzo_dropout_forward(input, input, &desc));
            ASSERT_OK(mezzo_dropout_forward(aligned, aligned, &desc));
            EXPECT_EQ(input.bytes(), aligned.bytes()) << "in place, aligned and not";
        }
    }
}

TEST(Dropout, KeepsAllOrNothingAtTheEnds) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const std::vector<double> values = mixed_values(1000, 1, dtype);
        const TestTensor input(dtype, {1000}, values);
        const TestTensor out(dtype, {1000});
        const mezzo_dropout_desc none = dropping(0);
        ASSERT_OK(mezzo_dropout_forward(out, input, &none));
        EXPECT_TRUE(is_identical(out.values(), input.values()));
        const mezzo_dropout_desc all = dropping(1);
        ASSERT_OK(mezzo_dropout_forward(out, input, &all));
        EXPECT_TRUE(is_identical(out.values(), std::vector<double>(1000, 0))) << "Inf and NaN too";
    }
}

TEST(Dropout, DropsTheShareAskedFor) {
    constexpr int64_t kCount = 100000;
    const TestTensor ones(MEZZO_DTYPE_F32, {kCount}, std::vector<double>(kCount, 1));
    const TestTensor out(MEZZO_DTYPE_F32, {kCount});
    for (const double p : {0.1, 0.5, 0.75}) {
        const mezzo_dropout_desc desc = dropping(p);
        ASSERT_OK(mezzo_dropout_forward(out, ones, &desc));
        double dropped = 0;
        for (const double value : out.values()) dropped += value == 0 ? 1 : 0;
        EXPECT_NEAR(dropped / kCount, p, 5 * std::sqrt(p * (1 - p) / kCount));
    }
}

TEST(Dropout, WhenRecorded_DrawsAnewWithEachStep) {
    const TestTensor ones(MEZZO_DTYPE_F32, {1000}, std::vector<double>(1000, 1));
    const TestTensor out(MEZZO_DTYPE_F32, {1000});
    const TestTensor step = TestTensor::scalar(MEZZO_DTYPE_I64, 0);
    const mezzo_dropout_desc desc = dropping(0.5, step);
    const TestGraph recorded([&] { EXPECT_OK(mezzo_dropout_forward(out, ones, &desc)); });
    for (const int64_t number : {1, 2, 1}) {
        step.write({static_cast<double>(number)});
        recorded.launch();
        EXPECT_TRUE(is_identical(out.values(), reference(ones.values(), 0.5, MEZZO_DTYPE_F32, &number)));
    }
}

TEST(DropoutOnCpu, DoesNotDependOnTheNumberOfThreads) {
    const TestTensor input(MEZZO_DTYPE_BF16, {100003}, random_values(100003, 1));
    const TestTensor out(MEZZO_DTYPE_BF16, {100003});
    const mezzo_dropout_desc desc = dropping(0.5);
    expect_same_bytes_on_any_threads([&] {
        EXPECT_OK(mezzo_dropout_forward(out, input, &desc));
        return out.bytes();
    });
}

TEST(Dropout, OnEveryDevice_GivesTheSameBits) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const int64_t count : critical_counts()) {
            for (const auto &[at, beside] : {std::pair(0, 0), std::pair(1, 2)}) {
                expect_same_bits_on_every_device([&, at = at, beside = beside](Results &results) {
                    const Placed input(dtype, at, mixed_values(count, 1, dtype));
                    const Placed out(dtype, beside, std::vector<double>(static_cast<size_t>(count), 0));
                    const TestTensor step = TestTensor::scalar(MEZZO_DTYPE_I64, 5);
                    const mezzo_dropout_desc desc = dropping(0.4, step);
                    EXPECT_OK(mezzo_dropout_forward(out, input, &desc));
                    results.add(out.whole);
                });
            }
        }
    }
}

TEST(Dropout, RejectsBadArguments) {
    const TestTensor a(MEZZO_DTYPE_F32, {8});
    const TestTensor b(MEZZO_DTYPE_F32, {8});
    const TestTensor wide(MEZZO_DTYPE_F64, {8});
    const TestTensor integers(MEZZO_DTYPE_I64, {8});
    const mezzo_dropout_desc desc = dropping(0.5);
    EXPECT_FAILS(mezzo_dropout_forward({}, a, &desc), INVALID_HANDLE, "dropout_forward: out is the null tensor");
    EXPECT_FAILS(mezzo_dropout_forward(a, {}, &desc), INVALID_HANDLE, "dropout_forward: input is the null tensor");
    EXPECT_FAILS(mezzo_dropout_forward(wide, a, &desc), DTYPE_MISMATCH,
                 "dropout_forward: out is f64[8], expected dtype f32");
    EXPECT_FAILS(mezzo_dropout_forward(integers, integers, &desc), DTYPE_MISMATCH,
                 "dropout_forward: input is i64[8], expected dtype f64, f32, f16 or bf16");
    EXPECT_FAILS(mezzo_dropout_forward(a.view(0, {4}), a.view(2, {4}), &desc), INVALID_ARGUMENT,
                 "dropout_forward: out shares memory with input, expected the same tensor or separate ones");
    EXPECT_FAILS(mezzo_dropout_forward(a, b, nullptr), INVALID_ARGUMENT, "dropout_forward: desc is a null pointer");
    for (const double p : {-0.1, 1.5, static_cast<double>(NAN)}) {
        const mezzo_dropout_desc wrong = dropping(p);
        EXPECT_FALSE(is_ok(mezzo_dropout_forward(a, b, &wrong)));
    }
    const mezzo_dropout_desc too_many = dropping(1.5);
    EXPECT_FAILS(mezzo_dropout_forward(a, b, &too_many), INVALID_ARGUMENT,
                 "dropout_forward: desc.p is 1.5, expected 0 to 1");
    const mezzo_dropout_desc wrong_step = dropping(0.5, b);
    EXPECT_FAILS(mezzo_dropout_forward(a, a, &wrong_step), SHAPE_MISMATCH,
                 "dropout_forward: desc.step is f32[8], expected f32[]");
    const mezzo_dropout_desc no_size = {};
    EXPECT_FAILS(mezzo_dropout_forward(a, b, &no_size), INVALID_ARGUMENT,
                 "dropout_forward: desc.struct_size is 0, expected 40");
}

} // namespace
} // namespace mezzo::testing
