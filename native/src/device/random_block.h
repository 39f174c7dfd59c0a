// SPDX-License-Identifier: MIT
// Random numbers of one Philox block: four in f32, two in f64. Shared by all devices, so that a draw
// depends on seed, stream and index alone.
#pragma once

#include "device/box_muller.h"
#include "device/philox.h"

namespace mezzo {

template <typename Real>
inline constexpr int kRealsPerBlock = static_cast<int>(sizeof(philox::Block) / sizeof(Real));

template <typename Real>
struct RandomBlock {
    Real value[kRealsPerBlock<Real>];
};

/// Word `index` of a block, as wide as Real: 32 bits, or two words with the first one low.
template <typename Real>
MEZZO_HOST_DEVICE typename box_muller::Precision<Real>::Bits random_word(philox::Block block, int index) {
    if constexpr (sizeof(Real) == sizeof(uint32_t)) {
        return block.word[index];
    } else {
        return block.word[2 * index] | static_cast<uint64_t>(block.word[2 * index + 1]) << 32;
    }
}

/// low + (high - low) u, with u a multiple of 2^-24 (2^-53) in [0, 1), kept within [lowest, highest].
template <typename Real>
struct UniformDistribution {
    Real low;
    Real span;
    Real lowest;
    Real highest;

    /// The same in another precision.
    template <typename To>
    UniformDistribution<To> in() const {
        return {static_cast<To>(low), static_cast<To>(span), static_cast<To>(lowest), static_cast<To>(highest)};
    }

    MEZZO_HOST_DEVICE RandomBlock<Real> operator()(philox::Block block) const {
        using SignedBits = typename box_muller::Precision<Real>::SignedBits;
        constexpr int kUsedBits = box_muller::Precision<Real>::kMantissaBits + 1;
        constexpr int kUnusedBits = 8 * static_cast<int>(sizeof(Real)) - kUsedBits;
        constexpr Real kUnit = Real(1) / static_cast<Real>(SignedBits(1) << kUsedBits);

        RandomBlock<Real> numbers{};
        MEZZO_UNROLL
        for (int i = 0; i < kRealsPerBlock<Real>; ++i) {
            const auto used = static_cast<SignedBits>(random_word<Real>(block, i) >> kUnusedBits);
            const Real number = std::fma(span, static_cast<Real>(used) * kUnit, low);
            const Real raised = number < lowest ? lowest : number;
            numbers.value[i] = raised > highest ? highest : raised;
        }
        return numbers;
    }
};

/// mean + deviation z, with z standard normal.
template <typename Real>
struct NormalDistribution {
    Real mean;
    Real deviation;

    /// The same in another precision.
    template <typename To>
    NormalDistribution<To> in() const {
        return {static_cast<To>(mean), static_cast<To>(deviation)};
    }

    MEZZO_HOST_DEVICE RandomBlock<Real> operator()(philox::Block block) const {
        RandomBlock<Real> numbers{};
        MEZZO_UNROLL
        for (int i = 0; i < kRealsPerBlock<Real>; i += 2) {
            const auto pair =
                box_muller::normal_pair<Real>(random_word<Real>(block, i), random_word<Real>(block, i + 1));
            numbers.value[i] = std::fma(deviation, pair.first, mean);
            numbers.value[i + 1] = std::fma(deviation, pair.second, mean);
        }
        return numbers;
    }
};

} // namespace mezzo
