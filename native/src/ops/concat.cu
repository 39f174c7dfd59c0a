// SPDX-License-Identifier: MIT
// concat on CUDA: rows of bytes, each to its place
//
// In units of 16 bytes where every row begins at a multiple of them, else of the largest power of two that divides all
// addresses, pitches and lengths. A launch for each tensor. Bound by memory, 2 bytes of traffic for each byte joined.
// Source: as concat.cpp.
#include "ops/concat.h"

#include "device/elementwise.cuh"

#include <numeric>

namespace mezzo {
namespace {

/// A copy in units of some bytes.
struct UnitCopy {
    int64_t units; // of all rows
    int64_t row_units;
    int64_t to_pitch;
    int64_t from_pitch;
};

/// `Index` holds the number of a unit: divisions of 64 bits take several times as long.
template <class Unit, class Index>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    concat_kernel(const UnitCopy copy, Unit *to, const Unit *from) {
    const int64_t threads = grid_threads();
    const auto row_units = static_cast<Index>(copy.row_units);
    for (int64_t first = grid_thread(); first < copy.units; first += kMapInFlight<2> * threads) {
        Unit held[kMapInFlight<2>];
        int64_t place[kMapInFlight<2>];
        MEZZO_UNROLL
        for (int n = 0; n < kMapInFlight<2>; ++n) {
            const int64_t unit = first + n * threads;
            if (unit >= copy.units) break;
            const Index row = static_cast<Index>(unit) / row_units;
            const int64_t column = static_cast<Index>(unit) - row * row_units;
            held[n] = from[static_cast<int64_t>(row) * copy.from_pitch + column];
            place[n] = static_cast<int64_t>(row) * copy.to_pitch + column;
        }
        MEZZO_UNROLL
        for (int n = 0; n < kMapInFlight<2>; ++n) {
            if (first + n * threads >= copy.units) break;
            to[place[n]] = held[n];
        }
    }
}

template <class Unit>
void launch_copy(Device &any_device, const RowCopy &copy) {
    CudaDevice &device = cuda_device(any_device);
    constexpr int64_t kBytes = sizeof(Unit);
    const UnitCopy units{copy.rows * copy.row_bytes / kBytes, copy.row_bytes / kBytes, copy.to_pitch / kBytes,
                         copy.from_pitch / kBytes};
    const auto kernel = units.units <= UINT32_MAX ? concat_kernel<Unit, uint32_t> : concat_kernel<Unit, uint64_t>;
    const int64_t blocks = (units.units + kMapThreads - 1) / kMapThreads;
    const int64_t most = int64_t{kMapGrid} * device.machine().processors;
    launch(kernel, dim3(static_cast<unsigned int>(std::min(blocks, most))), dim3(kMapThreads), 0, device.stream(),
           units, reinterpret_cast<Unit *>(copy.to), reinterpret_cast<const Unit *>(copy.from));
}

void concat_on_cuda(Device &device, const Concat &a) {
    for (const RowCopy &copy : a.copies) {
        uint64_t alignment = sizeof(uint4);
        for (const auto number : {reinterpret_cast<uint64_t>(copy.to), reinterpret_cast<uint64_t>(copy.from),
                                  static_cast<uint64_t>(copy.row_bytes), static_cast<uint64_t>(copy.to_pitch),
                                  static_cast<uint64_t>(copy.from_pitch)}) {
            alignment = std::gcd(alignment, number);
        }
        if (alignment == sizeof(uint4)) {
            launch_copy<uint4>(device, copy);
        } else if (alignment == sizeof(uint64_t)) {
            launch_copy<uint64_t>(device, copy);
        } else if (alignment == sizeof(uint32_t)) {
            launch_copy<uint32_t>(device, copy);
        } else if (alignment == sizeof(uint16_t)) {
            launch_copy<uint16_t>(device, copy);
        } else {
            launch_copy<uint8_t>(device, copy);
        }
    }
}

const Implementation<Concat> cuda_concat(MEZZO_DEVICE_TYPE_CUDA, concat_on_cuda);

} // namespace
} // namespace mezzo
