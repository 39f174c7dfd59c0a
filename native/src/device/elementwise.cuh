// SPDX-License-Identifier: MIT
// The loop of elementwise ops on CUDA: out[i] = function(in[i]...).
//
// Elements are taken in packs, as many as 16 bytes hold of the widest type, so that a warp reads or writes up to 512
// bytes with one instruction. A thread issues the loads of four packs before it needs the first: with four blocks on
// a multiprocessor 64 KB or more are in flight there (half of it for the narrow side of a cast, unless more blocks fit:
// eight on 8.0 and 9.0, six on 8.6 and 8.9, no more on 7.5), and by Little's law 40 KB are enough for the 4.8 TB/s of
// an H200. They are a grid apart, so that a small tensor is spread over as many blocks as it can be. Tensors that do
// not begin at the same element of a pack are taken element by element, coalesced still, but with 16 to 64 bytes in
// flight for a thread.
//
// Usage, in ops/<op>.cu:
//
//     template <class T>
//     __global__ void __launch_bounds__(kMapThreads, kMapBlocks)
//         relu_forward_kernel(MapShape shape, T *out, const T *input) {
//         map_elements(shape, out, [](T value) { return rectify(value); }, input);
//     }
//     launch_map(device, map_shape(elements, out, input), relu_forward_kernel<T>, out, input);
#pragma once

#include "core/host_device.h"
#include "cuda/cuda_device.h"
#include "device/launch.cuh"

#include <algorithm>
#include <initializer_list>

namespace mezzo {

inline constexpr int kMapThreads = 256; // of a block
inline constexpr int kMapBlocks = 4;    // that a multiprocessor has room for, at least
inline constexpr int kMapGrid = 8;      // blocks of a grid for each multiprocessor, at most

/// Packs that a thread has under way.
template <int kWidth>
inline constexpr int kMapInFlight = kWidth == 1 ? 8 : 4;

/// The calling thread's number in a grid of one dimension, and how many there are.
__device__ __forceinline__ int64_t grid_thread() {
    return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t grid_threads() {
    return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

/// The most bytes that one access moves.
inline constexpr size_t kAccessBytes = 16;

/// Neighbouring elements, loaded and stored in accesses as wide as they come.
template <class T, int kWidth>
struct alignas(std::min(kAccessBytes, kWidth * sizeof(T))) Pack {
    T value[kWidth];
};

/// Elements of a pack when all of these types take part.
template <class... T>
inline constexpr int kPackWidth = static_cast<int>(kAccessBytes / std::max({sizeof(T)...}));

/// How the elements of a call are dealt out: [0, head) one by one, then packs, then the rest one by one. No packs
/// means one by one throughout.
struct MapShape {
    int64_t elements;
    int64_t head;
    int64_t packs;
};

/// The shape for packs of `width` elements and tensors that begin at elements number `places` of memory.
inline MapShape map_shape(int64_t elements, int64_t width, std::initializer_list<uintptr_t> places) {
    const auto in_pack = [&](uintptr_t place) { return static_cast<int64_t>(place % static_cast<uintptr_t>(width)); };
    const int64_t first = in_pack(*places.begin());
    for (const uintptr_t place : places) {
        if (in_pack(place) != first) return {elements, 0, 0};
    }
    const int64_t head = std::min(elements, (width - first) % width);
    return {elements, head, (elements - head) / width};
}

/// The shape for tensors at these addresses.
template <class Out, class... In>
MapShape map_shape(int64_t elements, const Out *out, const In *...in) {
    const auto place = [](const auto *data) { return reinterpret_cast<uintptr_t>(data) / sizeof(*data); };
    return map_shape(elements, kPackWidth<Out, In...>, {place(out), place(in)...});
}

/// Launches a kernel of the form above; `arguments` follow the shape.
template <class... Params, class... Arguments>
void launch_map(Device &device, const MapShape &shape, void (*kernel)(MapShape, Params...), Arguments &&...arguments) {
    CudaDevice &cuda = cuda_device(device);
    const int64_t items = shape.packs == 0 ? shape.elements : shape.packs;
    const int64_t blocks = (items + kMapThreads - 1) / kMapThreads;
    const int64_t most = int64_t{kMapGrid} * cuda.machine().processors;
    launch(kernel, dim3(static_cast<unsigned int>(std::min(blocks, most))), dim3(kMapThreads), 0, cuda.stream(), shape,
           std::forward<Arguments>(arguments)...);
}

/// A pack as it comes from memory: held by bytes, it takes no more registers than it must.
template <class T, int kWidth>
struct RawPack {
    static constexpr size_t kBytes = sizeof(Pack<T, kWidth>);
    using Word = std::conditional_t<kBytes % 4 == 0, uint32_t, std::conditional_t<kBytes % 2 == 0, uint16_t, uint8_t>>;
    struct alignas(Pack<T, kWidth>) Words {
        Word word[kBytes / sizeof(Word)];
    };
    Words words;
    __device__ __forceinline__ void load(const T *from, int index) {
        words = std::bit_cast<Words>(reinterpret_cast<const Pack<T, kWidth> *>(from)[index]);
    }
    __device__ __forceinline__ T at(int k) const { return std::bit_cast<Pack<T, kWidth>>(words).value[k]; }
};

namespace map_detail {

/// One pack of each input.
template <int kWidth, class... In>
struct Inputs {
    __device__ __forceinline__ void load(int) {}

    /// function(earlier..., element k of each input)
    template <class Function, class... Earlier>
    __device__ __forceinline__ auto apply(const Function &function, int, Earlier... earlier) const {
        return function(earlier...);
    }
};

template <int kWidth, class First, class... Rest>
struct Inputs<kWidth, First, Rest...> {
    RawPack<First, kWidth> first;
    Inputs<kWidth, Rest...> rest;

    __device__ __forceinline__ void load(int index, const First *from, const Rest *...others) {
        first.load(from, index);
        rest.load(index, others...);
    }

    template <class Function, class... Earlier>
    __device__ __forceinline__ auto apply(const Function &function, int k, Earlier... earlier) const {
        return rest.apply(function, k, earlier..., first.at(k));
    }
};

template <int kWidth, class Out, class Function, class... In>
__device__ __forceinline__ void map_packs(int64_t packs, Out *out, const Function &function, const In *...in) {
    constexpr int kInFlight = kMapInFlight<kWidth>;
    const int stride = static_cast<int>(grid_threads()); // kMapGrid blocks a multiprocessor at most
    for (int64_t first = grid_thread(); first < packs; first += int64_t{kInFlight} * stride) {
        const int64_t left = packs - first;
        Inputs<kWidth, In...> inputs[kInFlight]{};
        MEZZO_UNROLL
        for (int n = 0; n < kInFlight; ++n) {
            if (n * stride < left) inputs[n].load(n * stride, (in + first * kWidth)...);
        }
        MEZZO_UNROLL
        for (int n = 0; n < kInFlight; ++n) {
            if (n * stride >= left) break;
            Pack<Out, kWidth> result;
            MEZZO_UNROLL
            for (int k = 0; k < kWidth; ++k) result.value[k] = inputs[n].apply(function, k);
            reinterpret_cast<Pack<Out, kWidth> *>(out + first * kWidth)[n * stride] = result;
        }
    }
}

} // namespace map_detail

/// out[i] = function(in[i]...) for the elements of the calling thread. An input may be `out` itself.
template <class Out, class Function, class... In>
__device__ __forceinline__ void map_elements(const MapShape &shape, Out *out, const Function &function,
                                             const In *...in) {
    if (shape.packs == 0) {
        map_detail::map_packs<1>(shape.elements, out, function, in...);
        return;
    }
    constexpr int kWidth = kPackWidth<Out, In...>;
    map_detail::map_packs<kWidth>(shape.packs, out + shape.head, function, (in + shape.head)...);
    // Both ends together have fewer elements than a block has threads.
    const int64_t thread = grid_thread();
    const int64_t index = thread < shape.head ? thread : thread + kWidth * shape.packs;
    if (index < shape.elements) out[index] = function(in[index]...);
}

} // namespace mezzo
