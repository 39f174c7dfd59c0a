// SPDX-License-Identifier: MIT
// Against the compiler's own binary16 where it has one, and against the definition of rounding elsewhere.
#include "core/convert.h"

#include "support/oracle.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace mezzo::testing {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
double exact(T value) {
    return static_cast<double>(widen(value));
}

/// Whether `rounded` is `value` to nearest even, by comparing with its neighbours in the format.
template <class T>
bool is_nearest_even(double value, T rounded) {
    if (std::isnan(value)) return std::isnan(exact(rounded));
    if (std::signbit(value) != ((rounded.bits & 0x8000) != 0)) return false;
    const T infinity = convert<T>(static_cast<float>(kInfinity));
    const uint16_t magnitude = rounded.bits & 0x7fff;
    // Inf takes the place of the next power of two, which is where rounding to it begins from half way.
    const auto distance = [&](uint16_t bits) {
        const uint16_t below = infinity.bits - 1;
        const double last = exact(T{below});
        const double position =
            bits == infinity.bits ? last + (last - exact(T{static_cast<uint16_t>(below - 1)})) : exact(T{bits});
        return std::abs(std::abs(value) - position);
    };
    if (std::isinf(value)) return magnitude == infinity.bits;
    if (magnitude > infinity.bits) return false;
    const bool odd = (magnitude & 1) != 0;
    if (magnitude != 0) {
        const double lower = distance(static_cast<uint16_t>(magnitude - 1));
        if (lower < distance(magnitude) || (lower == distance(magnitude) && odd)) return false;
    }
    if (magnitude < infinity.bits) {
        const double upper = distance(static_cast<uint16_t>(magnitude + 1));
        if (upper < distance(magnitude) || (upper == distance(magnitude) && odd)) return false;
    }
    return true;
}

/// Every value of a 16-bit format, the middle between it and the next, and the doubles around both.
template <class T, class Visitor>
void visit_critical_values(Visitor visit) {
    const uint16_t infinity = convert<T>(static_cast<float>(kInfinity)).bits;
    for (uint32_t bits = 0; bits < infinity; ++bits) {
        const double value = exact(T{static_cast<uint16_t>(bits)});
        const double next = bits + 1 == infinity ? 2 * value - exact(T{static_cast<uint16_t>(bits - 1)})
                                                 : exact(T{static_cast<uint16_t>(bits + 1)});
        for (const double centre : {value, value + (next - value) / 2}) {
            for (const double near : {std::nextafter(centre, -kInfinity), centre, std::nextafter(centre, kInfinity)}) {
                visit(near);
                visit(-near);
            }
        }
    }
    for (const double value : random_values(100000, 3, -1, 1)) visit(std::ldexp(value, static_cast<int>(value * 600)));
    for (const double value : {kInfinity, -kInfinity, std::nan(""), 1e300, -1e300, 1e-300, -1e-300}) visit(value);
}

template <class T>
class ConvertToHalf : public ::testing::Test {};
using Halves = ::testing::Types<Half, BFloat16>;
TYPED_TEST_SUITE(ConvertToHalf, Halves);

TYPED_TEST(ConvertToHalf, FromF64_RoundsOnceToNearestEven) {
    visit_critical_values<TypeParam>([](double value) {
        const TypeParam rounded = convert<TypeParam>(value);
        ASSERT_TRUE(is_nearest_even(value, rounded)) << value << " became " << exact(rounded);
    });
}

TYPED_TEST(ConvertToHalf, FromF32_RoundsOnceToNearestEven) {
    visit_critical_values<TypeParam>([](double value) {
        const float single = static_cast<float>(value);
        const TypeParam rounded = convert<TypeParam>(single);
        ASSERT_TRUE(is_nearest_even(static_cast<double>(single), rounded)) << single << " became " << exact(rounded);
    });
}

TYPED_TEST(ConvertToHalf, FromIntegers_RoundsOnceToNearestEven) {
    for (const int64_t value :
         {int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{257}, int64_t{2049}, int64_t{65519}, int64_t{65520},
          int64_t{-70000}, (int64_t{1} << 62) + (int64_t{1} << 54), (int64_t{1} << 62) + (int64_t{1} << 54) + 1,
          -(int64_t{1} << 62) - (int64_t{1} << 54) - 1, std::numeric_limits<int64_t>::max(),
          std::numeric_limits<int64_t>::min()}) {
        // Exact neighbours of the integer, from which the same half must come: the integer itself need
        // not be a double, but it lies strictly between a tie and the next double.
        const auto nearest = static_cast<double>(value);
        const bool exact_double = std::abs(nearest) < 0x1p63 && static_cast<int64_t>(nearest) == value;
        const double reference = exact_double ? nearest : std::nextafter(nearest, value > 0 ? kInfinity : -kInfinity);
        ASSERT_EQ(convert<TypeParam>(value).bits, convert<TypeParam>(reference).bits) << value;
    }
    EXPECT_EQ(exact(convert<TypeParam>(uint8_t{255})), 255);
    EXPECT_EQ(exact(convert<TypeParam>(int32_t{-128})), -128);
}

TYPED_TEST(ConvertToHalf, ToF32AndBack_KeepsEveryBit) {
    for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
        const TypeParam value{static_cast<uint16_t>(bits)};
        const float single = convert<float>(value);
        if (std::isnan(single)) {
            EXPECT_TRUE(std::isnan(convert<float>(convert<TypeParam>(single))));
        } else {
            ASSERT_EQ(convert<TypeParam>(single).bits, value.bits);
        }
    }
}

#if defined(__FLT16_MANT_DIG__) && defined(__SSE2__)
TEST(Convert, HalfToF32_IsTheCompilersForEveryHalf) {
    for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
        const auto half_bits = static_cast<uint16_t>(bits);
        const auto expected = static_cast<float>(std::bit_cast<_Float16>(half_bits));
        const float got = convert<float>(Half{half_bits});
        if (std::isnan(expected)) {
            ASSERT_TRUE(std::isnan(got));
        } else {
            ASSERT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(expected)) << bits;
        }
    }
}
#endif

TEST(Convert, ToInteger_TruncatesSaturatesAndTurnsNanIntoZero) {
    EXPECT_EQ(convert<int32_t>(2.9), 2);
    EXPECT_EQ(convert<int32_t>(-2.9f), -2);
    EXPECT_EQ(convert<int32_t>(1e10), std::numeric_limits<int32_t>::max());
    EXPECT_EQ(convert<int32_t>(-1e10f), std::numeric_limits<int32_t>::min());
    EXPECT_EQ(convert<int32_t>(2147483647.0), 2147483647);
    EXPECT_EQ(convert<int32_t>(2147483648.0f), 2147483647);
    EXPECT_EQ(convert<int32_t>(std::nan("")), 0);
    EXPECT_EQ(convert<int64_t>(0x1p63), std::numeric_limits<int64_t>::max());
    EXPECT_EQ(convert<int64_t>(-0x1p63f), std::numeric_limits<int64_t>::min());
    EXPECT_EQ(convert<int64_t>(kInfinity), std::numeric_limits<int64_t>::max());
    EXPECT_EQ(convert<int64_t>(0x1p62), int64_t{1} << 62);
    EXPECT_EQ(convert<uint8_t>(255.9f), 255);
    EXPECT_EQ(convert<uint8_t>(256.0), 255);
    EXPECT_EQ(convert<uint8_t>(-0.9), 0);
    EXPECT_EQ(convert<uint8_t>(-kInfinity), 0);
    EXPECT_EQ(convert<uint8_t>(convert<Half>(-kInfinity)), 0);
    EXPECT_EQ(convert<int32_t>(convert<BFloat16>(1e30)), std::numeric_limits<int32_t>::max());
}

TEST(Convert, BetweenIntegers_Saturates) {
    EXPECT_EQ(convert<uint8_t>(int32_t{300}), 255);
    EXPECT_EQ(convert<uint8_t>(int64_t{-1}), 0);
    EXPECT_EQ(convert<int32_t>(std::numeric_limits<int64_t>::min()), std::numeric_limits<int32_t>::min());
    EXPECT_EQ(convert<int64_t>(int32_t{-5}), -5);
    EXPECT_EQ(convert<int32_t>(uint8_t{200}), 200);
}

} // namespace
} // namespace mezzo::testing
