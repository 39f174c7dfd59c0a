// SPDX-License-Identifier: MIT
// random on CUDA: out[i] from Philox 4x32-10 under (seed, stream, i)
//
//   out  any shape, a floating dtype
//
// A thread computes 16 bytes of out, the numbers of one Philox block, 4 in f32 and 2 in f64, or of two for halves, and
// stores them at once where out is aligned to them. The formulas are the CPU's (device/random_block.h), and so are the
// bits. About 90 instructions an f32 block for the bits and 200 for normal numbers: by that count arithmetic bounds
// both. sizeof(T) bytes an element, all written. Source: as random.cpp.
#include "ops/random.h"

#include "device/elementwise.cuh"

namespace mezzo {
namespace {

/// Numbers of 16 bytes: one Philox block or two.
template <class T>
inline constexpr int kPackOf = static_cast<int>(kAccessBytes / sizeof(T));

template <class T, class Distribution>
__device__ __forceinline__ void draw(const MapShape &shape, T *out, uint64_t seed, uint64_t stream,
                                     const Distribution &distribution) {
    constexpr int kReals = kRealsPerBlock<Arithmetic<T>>;
    constexpr int kWidth = kPackOf<T>;
    const int64_t packs = (shape.elements + kWidth - 1) / kWidth;
    for (int64_t p = grid_thread(); p < packs; p += grid_threads()) {
        Pack<T, kWidth> pack;
        MEZZO_UNROLL
        for (int first = 0; first < kWidth; first += kReals) {
            const auto block = static_cast<uint64_t>((p * kWidth + first) / kReals);
            const auto numbers = distribution(philox::block_at(seed, stream, block));
            MEZZO_UNROLL
            for (int k = 0; k < kReals; ++k) pack.value[first + k] = convert<T>(numbers.value[k]);
        }
        if (p < shape.packs) {
            reinterpret_cast<Pack<T, kWidth> *>(out)[p] = pack;
            continue;
        }
        MEZZO_UNROLL
        for (int k = 0; k < kWidth; ++k) {
            if (p * kWidth + k < shape.elements) out[p * kWidth + k] = pack.value[k];
        }
    }
}

template <class T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    random_uniform_kernel(MapShape shape, T *out, uint64_t seed, uint64_t stream,
                          UniformDistribution<Arithmetic<T>> distribution) {
    draw(shape, out, seed, stream, distribution);
}

template <class T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    random_normal_kernel(MapShape shape, T *out, uint64_t seed, uint64_t stream,
                         NormalDistribution<Arithmetic<T>> distribution) {
    draw(shape, out, seed, stream, distribution);
}

/// Packs are whole Philox blocks; none where out begins within one.
template <class T>
MapShape shape_of(const TensorData &out) {
    const bool aligned = reinterpret_cast<uintptr_t>(out.data) % sizeof(Pack<T, kPackOf<T>>) == 0;
    return {out.elements, 0, aligned ? out.elements / kPackOf<T> : 0};
}

void uniform_on_cuda(Device &device, const RandomUniform &a) {
    visit_floating_dtype(a.out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        launch_map(device, shape_of<T>(a.out), random_uniform_kernel<T>, a.out.as<T>(), a.seed, a.stream,
                   a.distribution.in<Arithmetic<T>>());
    });
}

void normal_on_cuda(Device &device, const RandomNormal &a) {
    visit_floating_dtype(a.out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        launch_map(device, shape_of<T>(a.out), random_normal_kernel<T>, a.out.as<T>(), a.seed, a.stream,
                   a.distribution.in<Arithmetic<T>>());
    });
}

const Implementation<RandomUniform> cuda_uniform(MEZZO_DEVICE_TYPE_CUDA, uniform_on_cuda);
const Implementation<RandomNormal> cuda_normal(MEZZO_DEVICE_TYPE_CUDA, normal_on_cuda);

} // namespace
} // namespace mezzo
