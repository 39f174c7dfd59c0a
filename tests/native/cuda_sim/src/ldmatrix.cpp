// SPDX-License-Identifier: MIT
// ldmatrix: 8x8 matrices of 16-bit elements from shared memory into the fragments of a warp.
// Source: PTX ISA, "Warp-level matrix load instruction: ldmatrix".
#include "cuda_sim/ptx.h"

#include "block.h"

#include <cstring>

namespace mezzo::cuda_sim {
namespace {

constexpr int kRows = 8;
constexpr size_t kRowBytes = 16;

struct LoadArguments {
    uint32_t *registers;
    const void *row;
};

template <int count, bool transposed>
void run_load(const Meeting &meeting) {
    for (int matrix = 0; matrix < count; ++matrix) {
        uint16_t elements[kRows][kRowBytes / sizeof(uint16_t)];
        for (int row = 0; row < kRows; ++row) {
            std::memcpy(elements[row], meeting.of<LoadArguments>(kRows * matrix + row).row, kRowBytes);
        }
        for (int lane = 0; lane < kWarpLanes; ++lane) {
            const int major = lane / 4;
            const int minor = lane % 4 * 2;
            const uint32_t low = transposed ? elements[minor][major] : elements[major][minor];
            const uint32_t high = transposed ? elements[minor + 1][major] : elements[major][minor + 1];
            meeting.of<LoadArguments>(lane).registers[matrix] = low | high << 16;
        }
    }
}

constexpr Collective kLoads[2][2] = {
    {{"ldmatrix_x2", run_load<2, false>}, {"ldmatrix_x2_trans", run_load<2, true>}},
    {{"ldmatrix_x4", run_load<4, false>}, {"ldmatrix_x4_trans", run_load<4, true>}},
};

} // namespace

void load_matrices(uint32_t *registers, int count, bool transposed, const void *row, const Where &where) {
    const Collective &collective = kLoads[count == 4][transposed];
    // Rows are named by as many lanes as there are rows; up to compute capability 7.5 all lanes must name one.
    if (block.lane_index < count * kRows || block.grid->arch < 80) {
        if (reinterpret_cast<uintptr_t>(row) % kRowBytes != 0) {
            fail_thread(where, "%s of a row that is not aligned to 16 bytes", collective.name);
        }
        if (!is_shared(row, kRowBytes)) {
            fail_thread(where, "%s of a row outside of the block's shared memory", collective.name);
        }
    }
    LoadArguments arguments{registers, row};
    meet_whole_warp(collective, &arguments, where);
}

} // namespace mezzo::cuda_sim
