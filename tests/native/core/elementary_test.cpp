// SPDX-License-Identifier: MIT
#include "core/elementary.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "core/error_function.h"
#include "core/parallel.h"

namespace mezzo::testing {
namespace {

/// An elementary function, its exact value in a wider type, and the largest error in units in the last place.
#define MEZZO_TEST_FUNCTION(Name, function, exact, ulps)              \
    struct Name {                                                     \
        static constexpr double kUlps = ulps;                         \
        static long double reference(long double x) { return exact; } \
        template <class Real>                                         \
        MEZZO_ALWAYS_INLINE static inline Real compute(Real x) {      \
            return elementary::function(x);                           \
        }                                                             \
    };

MEZZO_TEST_FUNCTION(Exp, exp, std::exp(x), 1.25)
MEZZO_TEST_FUNCTION(Log, log, std::log(x), 2)
MEZZO_TEST_FUNCTION(Log1p, log1p, std::log1p(x), 2.5)
MEZZO_TEST_FUNCTION(Tanh, tanh, std::tanh(x), 2.75)
MEZZO_TEST_FUNCTION(Sigmoid, sigmoid, 1 / (1 + std::exp(-x)), 2.5)
MEZZO_TEST_FUNCTION(Erf, erf, std::erf(x), 3.25)
MEZZO_TEST_FUNCTION(NormalCdf, normal_cdf, std::erfc(x * -std::sqrt(0.5L)) / 2, 4.5)

/// Where functions change their ways, overflow and underflow, and what is not a number.
template <class Real>
std::vector<Real> edges() {
    using Limits = std::numeric_limits<Real>;
    constexpr Real kInfinity = Limits::infinity();
    std::vector<Real> values = {0, Limits::denorm_min(), Limits::min(), Limits::max(), kInfinity, Limits::quiet_NaN()};
    for (const double place :
         {1.0,  0.5,     0.70710678, 1.41421356, 0.34657359, 2.0,      10.0,  14.5,     20.0,     39.0, 88.7228,
          89.0, 87.3365, 103.2789,   104.0,      708.3964,   709.7827, 710.0, 744.4401, 745.1332, 746.0}) {
        const auto value = static_cast<Real>(place);
        for (const Real x : {value, std::nextafter(value, Real(0)), std::nextafter(value, kInfinity)}) {
            values.push_back(x);
            values.push_back(1 / x);
        }
    }
    for (size_t i = values.size(); i-- > 0;) values.push_back(-values[i]);
    return values;
}

/// Edges, every pattern of bits alike, and numbers around zero and one.
template <class Real>
std::vector<Real> arguments() {
    using Bits = typename elementary::Format<Real>::Bits;
    std::vector<Real> values = edges<Real>();
    std::mt19937_64 words(7);
    for (int i = 0; i < 20000; ++i) {
        values.push_back(std::bit_cast<Real>(static_cast<Bits>(words() >> (64 - 8 * sizeof(Bits)))));
        const auto uniform = std::ldexp(static_cast<double>(static_cast<int64_t>(words())), -63);
        for (const double width : {2.0, 12.0, 40.0, 110.0, 760.0}) values.push_back(static_cast<Real>(width * uniform));
        values.push_back(static_cast<Real>(1 + uniform / 2));
        values.push_back(static_cast<Real>(std::copysign(std::exp2(-20 * std::abs(uniform)), uniform)));
    }
    return values;
}

/// Whether a result lies within so many units in the last place of the exact one.
template <class Real>
bool is_within(Real got, long double exact, double ulps) {
    using Limits = std::numeric_limits<Real>;
    const auto rounded = static_cast<Real>(exact);
    if (std::isnan(rounded)) return std::isnan(got);
    if (std::signbit(got) != std::signbit(rounded)) return false;
    if (std::isinf(rounded) || got == rounded) return got == rounded;
    int exponent = 0;
    std::frexp(rounded, &exponent);
    const long double ulp = std::ldexp(1.0L, std::max(exponent, Limits::min_exponent) - Limits::digits);
    return std::abs(got - exact) <= ulps * ulp;
}

template <class Function, class Real>
void expect_accurate() {
    for (const Real x : arguments<Real>()) {
        const Real got = Function::compute(x);
        const long double exact = Function::reference(x);
        ASSERT_TRUE(is_within(got, exact, Function::kUlps)) << x << " gives " << got << ", expected " << exact;
    }
}

/// A loop over an instruction set gives the bits of this file, which is compiled for the baseline.
template <class Function, class Real>
void expect_same_bits_at_every_level() {
    using Bits = typename elementary::Format<Real>::Bits;
    const std::vector<Real> in = arguments<Real>();
    std::vector<Real> out(in.size());
    const auto loop = [from = in.data(), to = out.data()](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
#pragma GCC ivdep
        for (int64_t i = begin; i < end; ++i) to[i] = Function::compute(from[i]);
    };
    for (int level = 0; level <= static_cast<int>(cpu_level()); ++level) {
        parallel_detail::instance<decltype(loop)>(static_cast<CpuLevel>(level))(&loop, 0,
                                                                                static_cast<int64_t>(in.size()));
        for (size_t i = 0; i < in.size(); ++i) {
            const Real expected = Function::compute(in[i]);
            if (std::isnan(expected) && std::isnan(out[i])) continue;
            ASSERT_EQ(std::bit_cast<Bits>(out[i]), std::bit_cast<Bits>(expected)) << in[i] << " at level " << level;
        }
    }
}

template <class Function>
class ElementaryOnCpu : public ::testing::Test {};

using Functions = ::testing::Types<Exp, Log, Log1p, Tanh, Sigmoid, Erf, NormalCdf>;
TYPED_TEST_SUITE(ElementaryOnCpu, Functions);

TYPED_TEST(ElementaryOnCpu, IsAsAccurateAsDocumented) {
    expect_accurate<TypeParam, float>();
    expect_accurate<TypeParam, double>();
}

TYPED_TEST(ElementaryOnCpu, GivesTheSameBitsAtEveryCpuLevel) {
    expect_same_bits_at_every_level<TypeParam, float>();
    expect_same_bits_at_every_level<TypeParam, double>();
}

} // namespace
} // namespace mezzo::testing
