// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "support/every_device.h"
#include "support/oracle.h"
#include "support/status.h"

namespace mezzo::testing {
namespace {

bool is_floating(mezzo_dtype dtype) {
    return std::find(kFloatingDTypes.begin(), kFloatingDTypes.end(), dtype) != kFloatingDTypes.end();
}

/// The number of a floating dtype nearest to a value, ties to even, from the definition of the format.
double nearest(double value, mezzo_dtype dtype) {
    if (!std::isfinite(value) || value == 0 || dtype == MEZZO_DTYPE_F64) return value;
    const double step_of_one = 2 * unit_roundoff(dtype);
    const double step = std::max(std::ldexp(step_of_one, std::ilogb(value)), smallest_subnormal(dtype));
    const double rounded_value = std::nearbyint(value / step) * step; // both exact: step is a power of two
    const double smallest_normal = smallest_subnormal(dtype) / step_of_one;
    const double largest = (2 - step_of_one) * 2 / smallest_normal;
    return std::abs(rounded_value) > largest ? std::copysign(INFINITY, value) : rounded_value;
}

double truncated(double value, mezzo_dtype dtype) {
    if (std::isnan(value)) return 0;
    const double past = dtype == MEZZO_DTYPE_U8 ? 0x1p8 : dtype == MEZZO_DTYPE_I32 ? 0x1p31 : 0x1p63;
    const double lowest = dtype == MEZZO_DTYPE_U8 ? 0 : -past;
    // The largest i64 is 2^63 when it is read as a double.
    const double largest = dtype == MEZZO_DTYPE_I64 ? past : past - 1;
    return std::clamp(std::trunc(value), lowest, largest) + 0.0; // an integer has one zero
}

std::vector<double> reference(std::vector<double> values, mezzo_dtype dtype) {
    for (double &value : values) value = is_floating(dtype) ? nearest(value, dtype) : truncated(value, dtype);
    return values;
}

/// Values of all magnitudes, the special ones, and ties of every floating dtype with their neighbours.
std::vector<double> interesting_values() {
    std::vector<double> values = random_values(2000, 3, -300, 300);
    const std::vector<double> exponents = random_values(2000, 4, -180, 180);
    for (size_t i = 0; i < exponents.size(); ++i) values.push_back(std::copysign(std::exp2(exponents[i]), values[i]));
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const double special : special_values(dtype)) values.push_back(special);
        const double u = unit_roundoff(dtype);
        const double subnormal = smallest_subnormal(dtype);
        for (const double tie : {1 + u, 1 + 3 * u, (2 - u) / subnormal * u, subnormal / 2, 1.5 * subnormal}) {
            for (const double value : {tie, std::nextafter(tie, 0), std::nextafter(tie, INFINITY)}) {
                values.push_back(value);
                values.push_back(-value);
            }
        }
    }
    for (const double past : {255.0, 256.0, 0x1p31, 0x1p63}) {
        for (const double value : {past - 1, past - 0.5, past, past + 1}) {
            values.push_back(value);
            values.push_back(-value);
        }
    }
    return values;
}

TEST(Cast, Forward_RoundsOnceBetweenEveryTwoDTypes) {
    const std::vector<double> values = interesting_values();
    const Shape shape = {static_cast<int64_t>(values.size())};
    for (const mezzo_dtype from : kDTypes) {
        const TestTensor input = TestTensor::misaligned(from, shape, values);
        const std::vector<double> stored = input.values();
        for (const mezzo_dtype to : kDTypes) {
            const TestTensor out = TestTensor::misaligned(to, shape, values);
            ASSERT_OK(mezzo_cast_forward(out, input));
            EXPECT_TRUE(is_identical(out.values(), reference(stored, to))) << "from dtype " << from << " to " << to;
        }
    }
}

TEST(Cast, Forward_TakesEveryShape) {
    for (const mezzo_dtype to : kHalves) {
        for (const Shape &shape : elementwise_shapes()) {
            const TestTensor input(MEZZO_DTYPE_F32, shape, random_values(elements_of(shape), 5));
            const TestTensor out(to, {elements_of(shape)});
            ASSERT_OK(mezzo_cast_forward(out, input));
            EXPECT_TRUE(is_identical(out.values(), reference(input.values(), to)));
        }
    }
}

/// What 16 bits mean, from the definition of the formats.
double decoded(uint16_t bits, int fraction_bits) {
    const int exponent_bits = 15 - fraction_bits;
    const int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    const int fraction = bits & ((1 << fraction_bits) - 1);
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const double sign = (bits & 0x8000) != 0 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1) return fraction != 0 ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
    return sign * std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
}

TEST(Cast, Forward_WidensAllHalvesExactlyAndBack) {
    constexpr int64_t kCount = 65536;
    for (const mezzo_dtype dtype : kHalves) {
        const TestTensor halves(dtype, {kCount});
        std::vector<uint16_t> bits(kCount);
        std::vector<double> expected(kCount);
        for (size_t i = 0; i < bits.size(); ++i) {
            bits[i] = static_cast<uint16_t>(i);
            expected[i] = decoded(bits[i], dtype == MEZZO_DTYPE_F16 ? 10 : 7);
        }
        ASSERT_OK(mezzo_tensor_write(halves, bits.data(), 2 * kCount));
        for (const mezzo_dtype wide : {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64}) {
            const TestTensor widened(wide, {kCount});
            ASSERT_OK(mezzo_cast_forward(widened, halves));
            EXPECT_TRUE(is_identical(widened.values(), expected));
            const TestTensor back(dtype, {kCount});
            ASSERT_OK(mezzo_cast_forward(back, widened));
            const std::vector<uint8_t> bytes = back.bytes();
            for (size_t i = 0; i < bits.size(); ++i) {
                if (std::isnan(expected[i])) continue;
                ASSERT_EQ(bytes[2 * i] | bytes[2 * i + 1] << 8, bits[i]);
            }
        }
    }
}

TEST(Cast, Forward_RoundsLargeIntegersOnce) {
    struct Case {
        int64_t integer;
        double f32;
        double bf16;
    };
    // Next to ties of bf16 (8 significant bits) and f32 (24), where rounding through f64 would tie.
    constexpr int64_t kBFloat16Tie = int64_t{0x101} << 54;
    constexpr int64_t kFloat32Tie = int64_t{0x1000001} << 38;
    const std::vector<Case> cases = {
        {kBFloat16Tie, 0x1.01p62, 0x1p62},
        {kBFloat16Tie + 1, 0x1.01p62, 0x1.02p62},
        {kBFloat16Tie - 1, 0x1.01p62, 0x1p62},
        {-kBFloat16Tie - 1, -0x1.01p62, -0x1.02p62},
        {-kBFloat16Tie + 1, -0x1.01p62, -0x1p62},
        {kFloat32Tie + 1, 0x1.000002p62, 0x1p62},
        {kFloat32Tie - 1, 0x1p62, 0x1p62},
        {-kFloat32Tie - 1, -0x1.000002p62, -0x1p62},
        {INT64_MAX, 0x1p63, 0x1p63},
        {INT64_MIN, -0x1p63, -0x1p63},
    };
    for (const Case &example : cases) {
        const TestTensor input(MEZZO_DTYPE_I64, {});
        ASSERT_OK(mezzo_tensor_write(input, &example.integer, sizeof(example.integer)));
        const TestTensor single(MEZZO_DTYPE_F32, {});
        ASSERT_OK(mezzo_cast_forward(single, input));
        EXPECT_EQ(single.item(), example.f32) << example.integer;
        const TestTensor half(MEZZO_DTYPE_BF16, {});
        ASSERT_OK(mezzo_cast_forward(half, input));
        EXPECT_EQ(half.item(), example.bf16) << example.integer;
    }
}

/// The values over and over, cast from one place to another.
void cast_values(Results &results, mezzo_dtype from, mezzo_dtype to, int64_t count, int64_t at, int64_t beside) {
    const std::vector<double> values = interesting_values();
    std::vector<double> inputs(static_cast<size_t>(count));
    for (size_t i = 0; i < inputs.size(); ++i) inputs[i] = values[i % values.size()];
    const Placed input(from, at, inputs);
    const Placed out(to, beside, std::vector<double>(static_cast<size_t>(count), 0));
    EXPECT_OK(mezzo_cast_forward(out, input));
    results.add(out.whole);
}

TEST(Cast, OnEveryDevice_GivesTheSameBits) {
    for (const mezzo_dtype from : kDTypes) {
        for (const mezzo_dtype to : kDTypes) {
            expect_same_bits_on_every_device([&](Results &results) {
                for (const int64_t count : {1, 7, 9, 33, 8300}) {
                    cast_values(results, from, to, count, 0, 0);
                    cast_values(results, from, to, count, 9, 9);
                    cast_values(results, from, to, count, 0, 1);
                }
            });
        }
    }
}

TEST(Cast, OnEveryDevice_GivesTheSameBitsInMoreThanOnePass) {
    for (const auto &[from, to] :
         {std::pair(MEZZO_DTYPE_F32, MEZZO_DTYPE_F16), std::pair(MEZZO_DTYPE_U8, MEZZO_DTYPE_F32)}) {
        expect_same_bits_on_every_device([from = from, to = to](Results &results) {
            for (const int64_t beside : {1, 2}) cast_values(results, from, to, 270003, 1, beside);
        });
    }
}

TEST(Cast, OnEveryDevice_RoundsIntegersToTheSameBits) {
    constexpr int64_t kCount = 4001;
    std::vector<int64_t> integers(kCount);
    for (size_t i = 0; i < integers.size(); ++i) {
        // Bits of every length, and ties of bf16 and f32 with their neighbours, of both signs.
        const auto bits = static_cast<int64_t>(i * 0x9e3779b97f4a7c15) >> (i % 64);
        const int64_t tie = i % 4 == 1 ? int64_t{0x101} << (i % 54) : int64_t{0x1000001} << (i % 38);
        const int64_t near = tie + static_cast<int64_t>(i % 3) - 1;
        integers[i] = i % 2 == 0 ? bits : i % 5 < 2 ? -near : near;
    }
    for (const mezzo_dtype to : kDTypes) {
        expect_same_bits_on_every_device([&](Results &results) {
            const TestTensor input(MEZZO_DTYPE_I64, {kCount});
            EXPECT_OK(mezzo_tensor_write(input, integers.data(), input.info().bytes));
            const TestTensor out(to, {kCount});
            EXPECT_OK(mezzo_cast_forward(out, input));
            results.add(out);
        });
    }
}

TEST(Cast, Forward_RejectsBadArguments) {
    const TestTensor input(MEZZO_DTYPE_F32, {2, 3});
    const TestTensor out(MEZZO_DTYPE_F16, {7});
    EXPECT_FAILS(mezzo_cast_forward({}, input), INVALID_HANDLE, "cast_forward: out is the null tensor");
    EXPECT_FAILS(mezzo_cast_forward(out, {}), INVALID_HANDLE, "cast_forward: input is the null tensor");
    EXPECT_FAILS(mezzo_cast_forward(out, input), SHAPE_MISMATCH,
                 "cast_forward: out is f16[7] with 7 elements, expected 6 as in input");
    EXPECT_FAILS(mezzo_cast_forward(input, input), INVALID_ARGUMENT,
                 "cast_forward: out shares memory with input, expected separate tensors");
}

} // namespace
} // namespace mezzo::testing
