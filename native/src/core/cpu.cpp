// SPDX-License-Identifier: MIT
#include "core/cpu.h"

#include <mezzo/mezzo.h>

#include <string>

namespace mezzo {

#if defined(__x86_64__)

CpuLevel cpu_level() {
    static const CpuLevel level = __builtin_cpu_supports("x86-64-v4")   ? CpuLevel::kV4
                                  : __builtin_cpu_supports("x86-64-v3") ? CpuLevel::kV3
                                                                        : CpuLevel::kBaseline;
    return level;
}

bool cpu_has_avx512_bf16() {
    return cpu_level() == CpuLevel::kV4 && __builtin_cpu_supports("avx512bf16");
}

#else

CpuLevel cpu_level() {
    return CpuLevel::kBaseline;
}
bool cpu_has_avx512_bf16() {
    return false;
}

#endif

} // namespace mezzo

const char *mezzo_cpu_instruction_sets(void) {
    using namespace mezzo;
    static const std::string text = [] {
        std::string names;
#if defined(__x86_64__)
        names = "sse2";
        if (cpu_level() >= CpuLevel::kV3) names += " avx2 fma f16c";
        if (cpu_level() == CpuLevel::kV4) names += " avx512f avx512bw avx512dq avx512vl";
        if (cpu_has_avx512_bf16()) names += " avx512_bf16";
#endif
        return names;
    }();
    return text.c_str();
}
