// SPDX-License-Identifier: MIT
// embedding on CUDA: out[i, :] = weight[indices[i], :];  grad_weight[r, :] = sum of grad_output[i, :], indices[i] = r
//
//   weight, grad_weight  [rows, features]
//   out, grad_output     [indices, features]
//   indices              i32 or i64; one out of range gives a row of NaN, and no gradient
//
// Forward: a copy of rows in units of up to 16 bytes. Backward, two launches: a thread block for each kGroupRows rows
// reads all indices twice, counts, and writes the positions of each of its rows in order, warp by warp of the indices;
// then a thread for each element of grad_weight adds its terms in that order, in f64. No atomics on the result:
// deterministic, the CPU's bits. (2 rows / kGroupRows) reads of the indices, from the second-level cache mostly.
// Source: as embedding.cpp.
#include "ops/embedding.h"

#include "device/elementwise.cuh"

#include <cstring>
#include <numeric>

namespace mezzo {
namespace {

constexpr int kGroupThreads = 256;
constexpr int kGroupWarps = kGroupThreads / kWarpSize;
constexpr int kGroupRows = 64; // of a block

struct NanPattern {
    alignas(16) unsigned char bytes[16];
};

/// Sixteen bytes of a quiet NaN.
NanPattern nan_of(mezzo_dtype dtype) {
    NanPattern pattern{};
    const auto size = static_cast<size_t>(dtype_size(dtype));
    visit_floating_dtype(dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const T nan = convert<T>(static_cast<Arithmetic<T>>(__builtin_nan("")));
        for (size_t at = 0; at < sizeof(pattern); at += size) std::memcpy(pattern.bytes + at, &nan, size);
    });
    return pattern;
}

template <class Unit, class Index>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    embedding_forward_kernel(int64_t units, int64_t row_units, int64_t rows, NanPattern nan, Unit *out,
                             const Unit *weight, const Index *indices) {
    const Unit missing = *reinterpret_cast<const Unit *>(nan.bytes);
    for (int64_t unit = grid_thread(); unit < units; unit += grid_threads()) {
        const int64_t position = unit / row_units;
        const int64_t column = unit - position * row_units;
        const int64_t index = indices[position];
        const bool in_range = index >= 0 && index < rows;
        out[unit] = in_range ? weight[index * row_units + column] : missing;
    }
}

template <class Unit, class Index>
void launch_forward(Device &any_device, const EmbeddingForward &a, const Index *indices) {
    CudaDevice &device = cuda_device(any_device);
    const int64_t row_units = a.features * dtype_size(a.weight.dtype) / static_cast<int64_t>(sizeof(Unit));
    const int64_t units = a.indices.elements * row_units;
    const int64_t blocks =
        std::min((units + kMapThreads - 1) / kMapThreads, int64_t{kMapGrid} * device.machine().processors);
    launch(embedding_forward_kernel<Unit, Index>, dim3(static_cast<unsigned int>(blocks)), dim3(kMapThreads), 0,
           device.stream(), units, row_units, a.rows, nan_of(a.weight.dtype), reinterpret_cast<Unit *>(a.out.data),
           reinterpret_cast<const Unit *>(a.weight.data), indices);
}

template <class Index>
void forward(Device &device, const EmbeddingForward &a) {
    const auto *indices = a.indices.as<const Index>();
    const auto row_bytes = static_cast<uint64_t>(a.features * dtype_size(a.weight.dtype));
    const uint64_t alignment =
        std::gcd(std::gcd(sizeof(uint4), row_bytes),
                 std::gcd(reinterpret_cast<uint64_t>(a.out.data), reinterpret_cast<uint64_t>(a.weight.data)));
    if (alignment == sizeof(uint4)) {
        launch_forward<uint4>(device, a, indices);
    } else if (alignment == sizeof(uint64_t)) {
        launch_forward<uint64_t>(device, a, indices);
    } else if (alignment == sizeof(uint32_t)) {
        launch_forward<uint32_t>(device, a, indices);
    } else {
        launch_forward<uint16_t>(device, a, indices);
    }
}

void forward_on_cuda(Device &device, const EmbeddingForward &a) {
    if (a.indices.dtype == MEZZO_DTYPE_I32) {
        forward<int32_t>(device, a);
    } else {
        forward<int64_t>(device, a);
    }
}

/// The rows of grad_weight as the kernels see them.
struct Rows {
    int64_t indices;
    int64_t rows;
    int64_t padding_index;
};

/// Calls body(position, index, whether it takes part) for the part of the indices that is the calling warp's, in order;
/// all lanes together.
template <class Index, class Body>
__device__ __forceinline__ void scan_indices(const Rows &a, const Index *indices, const Body &body) {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int64_t steps = (a.indices + kWarpSize - 1) / kWarpSize;
    const int64_t end = steps * (warp + 1) / kGroupWarps;
    for (int64_t step = steps * warp / kGroupWarps; step < end; ++step) {
        const int64_t position = step * kWarpSize + lane;
        const int64_t index = position < a.indices ? static_cast<int64_t>(indices[position]) : -1;
        body(position, index, takes_part(index, a.rows, a.padding_index));
    }
}

/// Writes places[r] for the block's rows, and places[rows] by the last block, and the positions of its rows.
template <class Index>
__global__ void __launch_bounds__(kGroupThreads)
    embedding_group_kernel(const Rows a, int64_t *places, int64_t *positions, const Index *indices) {
    MEZZO_SHARED(int[kGroupWarps * kGroupRows], counts); // of a warp's part of the indices, for each row
    MEZZO_SHARED(int[kGroupWarps], counts_before);       // of rows before the block's
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int64_t first = static_cast<int64_t>(blockIdx.x) * kGroupRows;
    const int64_t past = first + kGroupRows < a.rows ? first + kGroupRows : a.rows;
    int *const own = counts + warp * kGroupRows;
    for (int row = lane; row < kGroupRows; row += kWarpSize) own[row] = 0;
    __syncwarp();

    int before = 0;
    scan_indices(a, indices, [&](int64_t, int64_t index, bool takes_part) {
        if (takes_part && index < first) ++before;
        if (takes_part && index >= first && index < past) atomicAdd(own + (index - first), 1);
    });
    MEZZO_UNROLL
    for (unsigned int width = kWarpSize / 2; width > 0; width /= 2) {
        before += __shfl_down_sync(kFullMask, before, width);
    }
    if (lane == 0) counts_before[warp] = before;
    __syncthreads();

    // Counts become places: row by row, within a row warp by warp.
    if (threadIdx.x == 0) {
        int place = 0;
        for (int i = 0; i < kGroupWarps; ++i) place += counts_before[i];
        for (int64_t row = first; row < past; ++row) {
            places[row] = place;
            for (int i = 0; i < kGroupWarps; ++i) {
                int &count = counts[i * kGroupRows + (row - first)];
                const int next = place + count;
                count = place;
                place = next;
            }
        }
        if (past == a.rows) places[a.rows] = place;
    }
    __syncthreads();

    scan_indices(a, indices, [&](int64_t position, int64_t index, bool takes_part) {
        const bool is_own = takes_part && index >= first && index < past;
        // One lane after the other, which keeps the positions of a row in order; few lanes have a row of the block's.
        for (unsigned int left = __ballot_sync(kFullMask, is_own); left != 0; left &= left - 1) {
            if (lane == __ffs(static_cast<int>(left)) - 1) positions[own[index - first]++] = position;
            __syncwarp();
        }
    });
}

template <class T, class Gradient>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    embedding_sum_kernel(int64_t elements, int64_t features, bool accumulate, T *grad_weight,
                         const Gradient *grad_output, const int64_t *places, const int64_t *positions) {
    for (int64_t i = grid_thread(); i < elements; i += grid_threads()) {
        const int64_t row = i / features;
        const int64_t column = i - row * features;
        const int64_t past = places[row + 1];
        int64_t place = places[row];
        if (accumulate && place == past) continue;
        double sum = 0;
        for (; place < past; ++place) {
            sum += static_cast<double>(widen(grad_output[positions[place] * features + column]));
        }
        grad_weight[i] = stored_sum<T>(sum, accumulate ? grad_weight[i] : T{}, accumulate);
    }
}

template <class T, class Gradient>
void launch_sum(CudaDevice &device, const EmbeddingBackward &a, const int64_t *places, const int64_t *positions) {
    const int64_t elements = a.rows * a.features;
    const int64_t blocks =
        std::min((elements + kMapThreads - 1) / kMapThreads, int64_t{kMapGrid} * device.machine().processors);
    launch(embedding_sum_kernel<T, Gradient>, dim3(static_cast<unsigned int>(blocks)), dim3(kMapThreads), 0,
           device.stream(), elements, a.features, a.accumulate, a.grad_weight.as<T>(),
           a.grad_output.as<const Gradient>(), places, positions);
}

template <class Index>
void launch_group(CudaDevice &device, const EmbeddingBackward &a, int64_t *places, int64_t *positions) {
    const int64_t blocks = (a.rows + kGroupRows - 1) / kGroupRows;
    launch(embedding_group_kernel<Index>, dim3(static_cast<unsigned int>(blocks)), dim3(kGroupThreads), 0,
           device.stream(), Rows{a.indices.elements, a.rows, a.padding_index}, places, positions,
           a.indices.as<const Index>());
}

void backward_on_cuda(Device &any_device, const EmbeddingBackward &a) {
    CudaDevice &device = cuda_device(any_device);
    const Scratch<int64_t> places(device.memory(), a.rows + 1);
    const Scratch<int64_t> positions(device.memory(), a.indices.elements);
    if (a.indices.dtype == MEZZO_DTYPE_I32) {
        launch_group<int32_t>(device, a, places.data(), positions.data());
    } else {
        launch_group<int64_t>(device, a, places.data(), positions.data());
    }
    visit_floating_dtype(a.grad_output.dtype, [&](auto tag) {
        using Gradient = typename decltype(tag)::type;
        if (a.grad_weight.dtype == a.grad_output.dtype) {
            launch_sum<Gradient, Gradient>(device, a, places.data(), positions.data());
        } else {
            launch_sum<Arithmetic<Gradient>, Gradient>(device, a, places.data(), positions.data());
        }
    });
}

const Implementation<EmbeddingForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);
const Implementation<EmbeddingBackward> cuda_backward(MEZZO_DEVICE_TYPE_CUDA, backward_on_cuda);

} // namespace
} // namespace mezzo
