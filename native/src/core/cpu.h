// SPDX-License-Identifier: MIT
// What the processor offers.
#pragma once

namespace mezzo {

/// Levels of the x86-64 psABI that loops are compiled for; kBaseline is all there is elsewhere.
enum class CpuLevel {
    kBaseline,
    kV3,
    kV4
};

/// The highest level that this processor and operating system support.
CpuLevel cpu_level();

/// Whether the processor multiplies bf16 in AVX-512 registers.
bool cpu_has_avx512_bf16();

} // namespace mezzo
