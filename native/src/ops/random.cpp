// SPDX-License-Identifier: MIT
// random: out[i] from Philox 4x32-10 under (seed, stream, i)
//
//   uniform  low + (high - low) u                  u a multiple of 2^-24 (f64: 2^-53) in [0, 1)
//   normal   mean + deviation sqrt(-2 ln u) cos 2 pi v, and sin for the next element
//
//   out  any shape, a floating dtype
//
// Computed in f32 (f64 for f64) and rounded once, in operations that are exactly rounded everywhere: the same
// bits on every device and for any number of threads. About 15 integer operations an f32 element for the bits
// and 25 FLOP for a normal number. Writes each element once.
// Source: Salmon et al., SC 2011 (device/philox.h); Box and Muller, 1958 (device/box_muller.h).
#include "ops/random.h"

#include <mezzo/ops.h>

#include <cmath>
#include <limits>

#include "core/descriptor.h"
#include "core/parallel.h"

namespace mezzo {
namespace {

template <class T, class Distribution>
void draw(const TensorData &out, const Distribution &distribution, uint64_t seed, uint64_t stream) {
    constexpr int kReals = kRealsPerBlock<Arithmetic<T>>;
    T *data = out.as<T>();
    const int64_t whole_blocks = out.elements / kReals;
    parallel_for(whole_blocks, kElementGrain / kReals, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        for (int64_t b = begin; b < end; ++b) {
            const auto block = distribution(philox::block_at(seed, stream, static_cast<uint64_t>(b)));
            for (int k = 0; k < kReals; ++k) data[b * kReals + k] = convert<T>(block.value[k]);
        }
    });
    const auto last = distribution(philox::block_at(seed, stream, static_cast<uint64_t>(whole_blocks)));
    for (int64_t i = whole_blocks * kReals; i < out.elements; ++i) data[i] = convert<T>(last.value[i % kReals]);
}

template <class Arguments>
void draw_on_cpu(Device &, const Arguments &arguments) {
    visit_floating_dtype(arguments.out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto distribution = arguments.distribution.template in<Arithmetic<T>>();
        draw<T>(arguments.out, distribution, arguments.seed, arguments.stream);
    });
}

const Implementation<RandomUniform> cpu_uniform(MEZZO_DEVICE_TYPE_CPU, draw_on_cpu<RandomUniform>);
const Implementation<RandomNormal> cpu_normal(MEZZO_DEVICE_TYPE_CPU, draw_on_cpu<RandomNormal>);

/// Checks a parameter of a distribution: a finite number that `out` can hold without overflow.
void expect_in_range(double value, const char *name, const TensorRef &out) {
    visit_floating_dtype(out.dtype(), [&](auto tag) {
        using T = typename decltype(tag)::type;
        if (std::isfinite(value) && std::isfinite(convert<double>(convert<T>(value)))) return;
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "%s is %g, expected a finite %s number", name, value,
             dtype_name(out.dtype()));
    });
}

/// The number of dtype T next to a finite one, above it or below.
template <class T>
T neighbour(T value, bool above) {
    if constexpr (is_half<T>) {
        constexpr uint16_t kSign = 0x8000;
        if ((value.bits & ~kSign) == 0) return {static_cast<uint16_t>(above ? 1 : kSign | 1)};
        const bool away_from_zero = above == ((value.bits & kSign) == 0);
        return {static_cast<uint16_t>(away_from_zero ? value.bits + 1 : value.bits - 1)};
    } else {
        constexpr T kInfinity = std::numeric_limits<T>::infinity();
        return std::nextafter(value, above ? kInfinity : -kInfinity);
    }
}

/// The distribution on the numbers of dtype T in [low, high).
template <class T>
UniformDistribution<double> uniform_between(double low, double high) {
    using Real = Arithmetic<T>;
    T lowest = convert<T>(low);
    if (convert<double>(lowest) < low) lowest = neighbour(lowest, true);
    T highest = convert<T>(high);
    if (convert<double>(highest) >= high) highest = neighbour(highest, false);
    const UniformDistribution<double> distribution = {static_cast<Real>(low), static_cast<Real>(high - low),
                                                      convert<double>(lowest), convert<double>(highest)};
    if (!std::isfinite(distribution.span)) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT,
             "low is %g and high is %g, expected a difference that is a finite %s number", low, high,
             dtype_name(dtype_of<Real>));
    }
    if (distribution.lowest > distribution.highest) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "low is %.17g and high is %.17g, expected a %s number between them", low,
             high, dtype_name(dtype_of<T>));
    }
    return distribution;
}

void random_uniform(const TensorRef &out, double low, double high, const mezzo_random_desc &desc) {
    expect_floating(out);
    expect_in_range(low, "low", out);
    expect_in_range(high, "high", out);
    if (high <= low) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "high is %g, expected a number greater than low, which is %g", high, low);
    }
    const auto distribution = visit_floating_dtype(
        out.dtype(), [&](auto tag) { return uniform_between<typename decltype(tag)::type>(low, high); });
    run_op(out.device(), RandomUniform{out, desc.seed, desc.stream, distribution});
}

void random_normal(const TensorRef &out, double mean, double deviation, const mezzo_random_desc &desc) {
    expect_floating(out);
    expect_in_range(mean, "mean", out);
    expect_in_range(deviation, "deviation", out);
    if (deviation < 0) fail(MEZZO_STATUS_INVALID_ARGUMENT, "deviation is %g, expected at least 0", deviation);
    const auto distribution = visit_floating_dtype(out.dtype(), [&](auto tag) {
        using Real = Arithmetic<typename decltype(tag)::type>;
        return NormalDistribution<double>{static_cast<Real>(mean), static_cast<Real>(deviation)};
    });
    run_op(out.device(), RandomNormal{out, desc.seed, desc.stream, distribution});
}

mezzo_random_desc read_random_descriptor(const mezzo_random_desc *desc) {
    constexpr mezzo_random_desc kDefaults = {sizeof(mezzo_random_desc), 0, 0, 0};
    const mezzo_random_desc read = read_descriptor(desc, kDefaults);
    expect_reserved(read.reserved, "reserved");
    return read;
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_random_uniform(mezzo_tensor out, double low, double high, const mezzo_random_desc *desc) {
    return mezzo::guard("random_uniform", [&] {
        mezzo::random_uniform(mezzo::require_tensor(out, "out"), low, high, mezzo::read_random_descriptor(desc));
    });
}

mezzo_status mezzo_random_normal(mezzo_tensor out, double mean, double deviation, const mezzo_random_desc *desc) {
    return mezzo::guard("random_normal", [&] {
        mezzo::random_normal(mezzo::require_tensor(out, "out"), mean, deviation, mezzo::read_random_descriptor(desc));
    });
}
