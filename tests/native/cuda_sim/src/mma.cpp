// SPDX-License-Identifier: MIT
// mma: d += a b of one warp. The fragments are gathered into matrices once, then multiplied in plain loops.
// Source of the layouts: PTX ISA, "Matrix Fragments for mma.m16n8k8" and "... mma.m16n8k16".
#include "cuda_sim/ptx.h"

#include "block.h"

#include <cstring>

namespace mezzo::cuda_sim {
namespace {

constexpr int kM = 16;
constexpr int kN = 8;

/// One row of d: a vector, so that the product below is vectorised at any optimisation level.
typedef float Row __attribute__((vector_size(kN * sizeof(float))));

struct MmaArguments {
    float *d;
    const uint32_t *a;
    const uint32_t *b;
};

/// A number of 19 bits in a register of its own: the multiplier does not look at the lower 13.
struct Tf32 {
    uint32_t bits;
};

inline float element_value(Tf32 element) {
    return std::bit_cast<float>(element.bits & ~0x1fffu);
}

template <class T>
float element_value(T element) {
    return convert<float>(element);
}

template <class T, size_t count>
void widen_all(float (&values)[count], const uint32_t *registers) {
    T elements[count];
    std::memcpy(elements, registers, sizeof elements);
    for (size_t i = 0; i < count; ++i) values[i] = element_value(elements[i]);
}

// Lane 4 g + t, for g < 8 and t < 4, holds of
//   a: rows g and g + 8, of each register t, and register t + 4 if the row has eight
//   b: column g, of it the same registers
//   d: rows g and g + 8, columns 2 t and 2 t + 1
template <class T, int k>
void run_mma(const Meeting &meeting) {
    constexpr size_t kRegisters = k * sizeof(T) / sizeof(uint32_t); // of a row of a
    constexpr size_t kHalves = kRegisters / 4;

    uint32_t a_registers[kM][kRegisters];
    uint32_t b_registers[kN][kRegisters];
    Row d[kM];
    for (int lane = 0; lane < kWarpLanes; ++lane) {
        const auto &arguments = meeting.of<MmaArguments>(lane);
        const int group = lane / 4;
        const int thread = lane % 4;
        for (size_t half = 0; half < kHalves; ++half) {
            const size_t column = static_cast<size_t>(thread) + 4 * half;
            a_registers[group][column] = arguments.a[2 * half];
            a_registers[group + 8][column] = arguments.a[2 * half + 1];
            b_registers[group][column] = arguments.b[half];
        }
        std::memcpy(reinterpret_cast<float *>(&d[group]) + 2 * thread, arguments.d, 2 * sizeof(float));
        std::memcpy(reinterpret_cast<float *>(&d[group + 8]) + 2 * thread, arguments.d + 2, 2 * sizeof(float));
    }

    float a[kM * k];
    float b_columns[kN * k];
    widen_all<T>(a, &a_registers[0][0]);
    widen_all<T>(b_columns, &b_registers[0][0]);
    for (int i = 0; i < k; ++i) {
        Row b;
        for (int column = 0; column < kN; ++column) b[column] = b_columns[column * k + i];
        for (int row = 0; row < kM; ++row) d[row] += a[row * k + i] * b;
    }

    for (int lane = 0; lane < kWarpLanes; ++lane) {
        const auto &arguments = meeting.of<MmaArguments>(lane);
        const int group = lane / 4;
        const int thread = lane % 4;
        std::memcpy(arguments.d, reinterpret_cast<const float *>(&d[group]) + 2 * thread, 2 * sizeof(float));
        std::memcpy(arguments.d + 2, reinterpret_cast<const float *>(&d[group + 8]) + 2 * thread, 2 * sizeof(float));
    }
}

struct MmaInstruction {
    Collective collective;
    int arch; // since
};

// By MmaKind.
constexpr MmaInstruction kInstructions[] = {
    {{"mma_m16n8k16<Half>", run_mma<Half, 16>}, 80}, {{"mma_m16n8k16<BFloat16>", run_mma<BFloat16, 16>}, 80},
    {{"mma_m16n8k8<Half>", run_mma<Half, 8>}, 75},   {{"mma_m16n8k8<BFloat16>", run_mma<BFloat16, 8>}, 80},
    {{"mma_m16n8k8_tf32", run_mma<Tf32, 8>}, 80},
};

} // namespace

void multiply(MmaKind kind, float *d, const uint32_t *a, const uint32_t *b, const Where &where) {
    const MmaInstruction &instruction = kInstructions[static_cast<int>(kind)];
    require_arch(instruction.arch, instruction.collective.name, where);
    MmaArguments arguments{d, a, b};
    meet_whole_warp(instruction.collective, &arguments, where);
}

} // namespace mezzo::cuda_sim
