// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>
#include <limits>
#include <random>

#include "device/random_block.h"
#include "support/every_device.h"
#include "support/oracle.h"
#include "support/thread_counts.h"

namespace mezzo::testing {
namespace {

constexpr uint64_t kSeed = 0x123456789abcdef0;
constexpr uint64_t kStream = 0xfedcba987654321;
constexpr mezzo_random_desc kDraw = {sizeof(mezzo_random_desc), 0, kSeed, kStream};

/// The bits of element i as a fraction of 1, all 32 (64) of them.
long double fraction(size_t i, bool wide) {
    if (!wide) return std::ldexp(static_cast<long double>(philox::block_at(kSeed, kStream, i / 4).word[i % 4]), -32);
    const philox::Block block = philox::block_at(kSeed, kStream, i / 2);
    const uint64_t high = block.word[2 * (i % 2) + 1];
    return std::ldexp(static_cast<long double>(high << 32 | block.word[2 * (i % 2)]), -64);
}

std::vector<double> uniform_reference(size_t count, double low, double high, bool wide) {
    std::vector<double> values(count);
    const int bits = wide ? 53 : 24;
    for (size_t i = 0; i < count; ++i) {
        const long double u = std::ldexp(std::floor(std::ldexp(fraction(i, wide), bits)), -bits);
        values[i] = static_cast<double>(low + (high - low) * u);
    }
    return values;
}

/// The centre of the interval of an element's bits, kept in the dtype of the arithmetic.
long double centre(size_t i, bool wide) {
    const long double bits = fraction(i, wide);
    if (wide) return static_cast<double>(static_cast<double>(bits) + 0x1p-65L);
    return static_cast<float>(static_cast<float>(bits) + 0x1p-33L);
}

std::vector<double> normal_reference(size_t count, double mean, double deviation, bool wide) {
    std::vector<double> values(count);
    for (size_t i = 0; i < count; ++i) {
        const long double u = centre(i & ~size_t{1}, wide);
        const long double angle = 2 * std::acos(-1.0L) * fraction(i | 1, wide);
        const long double radius = std::sqrt(-2 * std::log(u));
        values[i] = static_cast<double>(mean + deviation * radius * (i % 2 == 0 ? std::cos(angle) : std::sin(angle)));
    }
    return values;
}

TEST(RandomUniform, FollowsTheDocumentedCounterForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const auto count = static_cast<size_t>(elements_of(shape));
            const TestTensor out = TestTensor::misaligned(dtype, shape, std::vector<double>(count, 0));
            ASSERT_OK(mezzo_random_uniform(out, -1, 2, &kDraw));
            const std::vector<double> values = uniform_reference(count, -1, 2, dtype == MEZZO_DTYPE_F64);
            // 3 u - 1 is rounded once; its terms are at most 3.
            EXPECT_TRUE(
                is_near(out.values(), {values, std::vector<double>(count, 3)}, {dtype, arithmetic_of(dtype), 1}));
        }
    }
}

TEST(RandomUniform, StaysBelowHighAndNotBelowLow) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const TestTensor out(dtype, {100003});
        for (const auto &[low, high] :
             {std::pair(0.0, 1.0), std::pair(-0.1, 0.1), std::pair(1.0, 1.0 + 4 * unit_roundoff(dtype))}) {
            ASSERT_OK(mezzo_random_uniform(out, low, high, &kDraw));
            double smallest = INFINITY;
            double largest = -INFINITY;
            for (const double value : out.values()) {
                smallest = std::min(smallest, value);
                largest = std::max(largest, value);
            }
            EXPECT_GE(smallest, low);
            EXPECT_LT(largest, high);
        }
    }
}

TEST(RandomUniform, HasTheMomentsOfTheDistribution) {
    constexpr int64_t kCount = 1 << 20;
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const TestTensor out(dtype, {kCount});
        ASSERT_OK(mezzo_random_uniform(out, 0, 1, &kDraw));
        double sum = 0;
        double squares = 0;
        for (const double value : out.values()) {
            sum += value;
            squares += value * value;
        }
        // Five standard errors of each moment, and the bias of rounding to the dtype.
        const double bias = unit_roundoff(dtype);
        EXPECT_NEAR(sum / kCount, 1.0 / 2, 5 * std::sqrt(1.0 / 12 / kCount) + bias);
        EXPECT_NEAR(squares / kCount, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / kCount) + 2 * bias);
    }
}

TEST(RandomNormal, FollowsTheDocumentedTransformForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const auto count = static_cast<size_t>(elements_of(shape));
            const TestTensor out = TestTensor::misaligned(dtype, shape, std::vector<double>(count, 0));
            ASSERT_OK(mezzo_random_normal(out, 0.5, 2, &kDraw));
            const std::vector<double> values = normal_reference(count, 0.5, 2, dtype == MEZZO_DTYPE_F64);
            // Roundings of u, its logarithm (4), root, sine or cosine (2 each), products and sum, of values up
            // to mean + deviation * 10.
            EXPECT_TRUE(
                is_near(out.values(), {values, std::vector<double>(count, 20.5)}, {dtype, arithmetic_of(dtype), 10}));
        }
    }
}

TEST(RandomNormal, HasTheMomentsOfTheDistribution) {
    constexpr int64_t kCount = 1 << 20;
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const TestTensor out(dtype, {kCount});
        ASSERT_OK(mezzo_random_normal(out, 0, 1, &kDraw));
        const std::vector<double> values = out.values();
        double moments[5] = {};
        double neighbours = 0;
        double within_one = 0;
        for (size_t i = 0; i < values.size(); ++i) {
            double power = 1;
            for (double &moment : moments) {
                moment += power / kCount;
                power *= values[i];
            }
            if (i % 2 == 1) neighbours += values[i] * values[i - 1] / (kCount / 2);
            within_one += (std::abs(values[i]) < 1 ? 1.0 : 0.0) / kCount;
        }
        // Five standard errors of each moment; those of z^k have variance E z^2k - (E z^k)^2.
        const double standard_error = std::sqrt(1.0 / kCount);
        const double bias = 2 * unit_roundoff(dtype);
        EXPECT_NEAR(moments[1], 0, 5 * standard_error);
        EXPECT_NEAR(moments[2], 1, 5 * std::sqrt(2) * standard_error + bias);
        EXPECT_NEAR(moments[3], 0, 5 * std::sqrt(15) * standard_error);
        EXPECT_NEAR(moments[4], 3, 5 * std::sqrt(96) * standard_error + 6 * bias);
        EXPECT_NEAR(neighbours, 0, 5 * std::sqrt(2) * standard_error);
        const double share = std::erf(std::sqrt(0.5));
        EXPECT_NEAR(within_one, share, 5 * std::sqrt(share * (1 - share)) * standard_error + bias);
    }
}

TEST(Random, DependsOnSeedStreamAndIndexAlone) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const TestTensor long_draw(dtype, {1001});
        ASSERT_OK(mezzo_random_normal(long_draw, 0, 1, &kDraw));
        const std::vector<double> values = long_draw.values();
        for (const int64_t count : {1, 2, 3, 5, 64, 1000}) {
            const TestTensor out(dtype, {count, 1});
            ASSERT_OK(mezzo_random_normal(out, 0, 1, &kDraw));
            EXPECT_TRUE(is_identical(out.values(), {values.begin(), values.begin() + count}));
        }
        const mezzo_random_desc other_seed = {sizeof(mezzo_random_desc), 0, kSeed + 1, kStream};
        const mezzo_random_desc other_stream = {sizeof(mezzo_random_desc), 0, kSeed, kStream + 1};
        for (const mezzo_random_desc *other : {&other_seed, &other_stream}) {
            const TestTensor out(dtype, {1001});
            ASSERT_OK(mezzo_random_normal(out, 0, 1, other));
            EXPECT_FALSE(is_identical(out.values(), values));
        }
    }
}

TEST(RandomOnCpu, DoesNotDependOnTheNumberOfThreads) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const TestTensor out(dtype, {100003});
        expect_same_bytes_on_any_threads([&] {
            EXPECT_OK(mezzo_random_normal(out, 0, 1, &kDraw));
            return out.bytes();
        });
        expect_same_bytes_on_any_threads([&] {
            EXPECT_OK(mezzo_random_uniform(out, 0, 1, &kDraw));
            return out.bytes();
        });
    }
}

template <class Real>
void expect_the_bits_of_this_file(mezzo_dtype dtype) {
    constexpr int kReals = kRealsPerBlock<Real>;
    const NormalDistribution<Real> distribution = {Real(0.5), Real(2)};
    std::vector<double> expected(100003);
    for (size_t i = 0; i < expected.size(); ++i) {
        const auto numbers = distribution(philox::block_at(kSeed, kStream, i / kReals));
        expected[i] = static_cast<double>(numbers.value[i % kReals]);
    }
    const TestTensor out(dtype, {100003});
    ASSERT_OK(mezzo_random_normal(out, 0.5, 2, &kDraw));
    EXPECT_TRUE(is_identical(out.values(), expected));
}

// The library runs its loops in the processor's widest instruction set; this file is compiled for the
// baseline, where std::fma is a library call.
TEST(Random, DoesNotDependOnTheInstructionSet) {
    expect_the_bits_of_this_file<float>(MEZZO_DTYPE_F32);
    expect_the_bits_of_this_file<double>(MEZZO_DTYPE_F64);
}

TEST(Random, TakesANullDescriptorForSeedAndStreamZero) {
    const mezzo_random_desc zero = {sizeof(mezzo_random_desc), 0, 0, 0};
    const TestTensor with(MEZZO_DTYPE_F32, {9});
    const TestTensor without(MEZZO_DTYPE_F32, {9});
    ASSERT_OK(mezzo_random_uniform(with, 0, 1, &zero));
    ASSERT_OK(mezzo_random_uniform(without, 0, 1, nullptr));
    EXPECT_EQ(with.bytes(), without.bytes());
}

TEST(RandomNormal, GivesTheMeanForADeviationOfZero) {
    const TestTensor out(MEZZO_DTYPE_F32, {9});
    ASSERT_OK(mezzo_random_normal(out, -3, 0, nullptr));
    EXPECT_TRUE(is_identical(out.values(), std::vector<double>(9, -3)));
}

template <class Real>
void expect_accurate_functions() {
    using Bits = typename box_muller::Precision<Real>::Bits;
    const auto epsilon = static_cast<long double>(std::numeric_limits<Real>::epsilon());
    constexpr int kBits = 8 * sizeof(Bits);
    std::mt19937_64 words(7);
    for (int i = 0; i < 200000; ++i) {
        const auto turn = static_cast<Bits>(words() >> (64 - kBits));
        const long double angle = 2 * std::acos(-1.0L) * std::ldexp(static_cast<long double>(turn), -kBits);
        const auto got = box_muller::sine_cosine_of_turn<Real>(turn);
        ASSERT_LE(std::abs(got.sine - std::sin(angle)), epsilon) << turn;
        ASSERT_LE(std::abs(got.cosine - std::cos(angle)), epsilon) << turn;
    }
}

TEST(BoxMuller, FunctionsAreAsAccurateAsDocumented) {
    expect_accurate_functions<float>();
    expect_accurate_functions<double>();
}

TEST(BoxMuller, IsFiniteAtTheEndsOfItsRange) {
    for (const uint32_t angle : {0U, 0x20000000U, 0x40000000U, 0x80000000U, 0xffffffffU}) {
        for (const uint32_t radius : {0U, 1U, 0x80000000U, 0xffffffffU}) {
            const auto pair = box_muller::normal_pair<float>(radius, angle);
            EXPECT_LE(std::hypot(pair.first, pair.second), 6.8F);
        }
        for (const uint64_t radius : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}}) {
            const auto pair = box_muller::normal_pair<double>(radius, uint64_t{angle} << 32);
            EXPECT_LE(std::hypot(pair.first, pair.second), 9.5);
        }
    }
    EXPECT_EQ(box_muller::normal_pair<float>(0xffffffff, 0).first, 0);
}

TEST(Random, OnEveryDevice_GivesTheSameBits) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const int64_t count : critical_counts()) {
            for (const int64_t at : {0, 1, 2, 4}) {
                expect_same_bits_on_every_device([&](Results &results) {
                    const Placed out(dtype, at, std::vector<double>(static_cast<size_t>(count), 0));
                    EXPECT_OK(mezzo_random_uniform(out, -0.1, 0.3, &kDraw));
                    results.add(out.whole);
                    EXPECT_OK(mezzo_random_normal(out, 0.5, 2, &kDraw));
                    results.add(out.whole);
                });
            }
        }
    }
}

TEST(Random, RejectsBadArguments) {
    const TestTensor out(MEZZO_DTYPE_F32, {8});
    const TestTensor half(MEZZO_DTYPE_F16, {8});
    const TestTensor wide(MEZZO_DTYPE_F64, {8});
    const TestTensor integers(MEZZO_DTYPE_I64, {8});
    EXPECT_FAILS(mezzo_random_uniform({}, 0, 1, nullptr), INVALID_HANDLE, "random_uniform: out is the null tensor");
    EXPECT_FAILS(mezzo_random_uniform(integers, 0, 1, nullptr), DTYPE_MISMATCH,
                 "random_uniform: out is i64[8], expected dtype f64, f32, f16 or bf16");
    EXPECT_FAILS(mezzo_random_uniform(out, NAN, 1, nullptr), INVALID_ARGUMENT,
                 "random_uniform: low is nan, expected a finite f32 number");
    EXPECT_FAILS(mezzo_random_uniform(out, 0, INFINITY, nullptr), INVALID_ARGUMENT,
                 "random_uniform: high is inf, expected a finite f32 number");
    EXPECT_FAILS(mezzo_random_uniform(half, 0, 65536, nullptr), INVALID_ARGUMENT,
                 "random_uniform: high is 65536, expected a finite f16 number");
    EXPECT_FAILS(mezzo_random_uniform(out, 1, 1, nullptr), INVALID_ARGUMENT,
                 "random_uniform: high is 1, expected a number greater than low, which is 1");
    EXPECT_FAILS(
        mezzo_random_uniform(wide, -1e308, 1e308, nullptr), INVALID_ARGUMENT,
        "random_uniform: low is -1e+308 and high is 1e+308, expected a difference that is a finite f64 number");
    EXPECT_FAILS(mezzo_random_uniform(half, 1.0001, 1.0002, nullptr), INVALID_ARGUMENT,
                 "random_uniform: low is 1.0001 and high is 1.0002, expected a f16 number between them");
    EXPECT_FAILS(mezzo_random_normal({}, 0, 1, nullptr), INVALID_HANDLE, "random_normal: out is the null tensor");
    EXPECT_FAILS(mezzo_random_normal(integers, 0, 1, nullptr), DTYPE_MISMATCH,
                 "random_normal: out is i64[8], expected dtype f64, f32, f16 or bf16");
    EXPECT_FAILS(mezzo_random_normal(out, INFINITY, 1, nullptr), INVALID_ARGUMENT,
                 "random_normal: mean is inf, expected a finite f32 number");
    EXPECT_FAILS(mezzo_random_normal(out, 0, NAN, nullptr), INVALID_ARGUMENT,
                 "random_normal: deviation is nan, expected a finite f32 number");
    EXPECT_FAILS(mezzo_random_normal(out, 0, -1, nullptr), INVALID_ARGUMENT,
                 "random_normal: deviation is -1, expected at least 0");
    const mezzo_random_desc no_size = {};
    EXPECT_FAILS(mezzo_random_uniform(out, 0, 1, &no_size), INVALID_ARGUMENT,
                 "random_uniform: desc.struct_size is 0, expected 24");
    const mezzo_random_desc reserved = {sizeof(reserved), 1, 0, 0};
    EXPECT_FAILS(mezzo_random_normal(out, 0, 1, &reserved), INVALID_ARGUMENT,
                 "random_normal: desc.reserved is 1, expected 0");
}

} // namespace
} // namespace mezzo::testing
