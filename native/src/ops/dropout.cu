// SPDX-License-Identifier: MIT
// dropout on CUDA: the formula of dropout.cpp
//
// A thread takes the elements of whole Philox blocks, 16 bytes of them or, in f64, 32, and moves them 16 bytes at a
// time where both tensors are aligned to that. By some 20 integer instructions an element, memory bounds f32 and f64,
// and both halves about as much. 2 sizeof(T) bytes an element. Source: as dropout.cpp.
#include "ops/dropout.h"

#include "device/elementwise.cuh"

namespace mezzo {
namespace {

/// Elements of a thread and turn: of one Philox block, or two for halves.
template <class T>
inline constexpr int kGroup = std::max(philox::kWords, static_cast<int>(kAccessBytes / sizeof(T)));

template <class T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    dropout_forward_kernel(MapShape shape, T *out, const T *input, DropoutForward a) {
    constexpr int kWidth = static_cast<int>(kAccessBytes / sizeof(T));
    const Draw draw = draw_of(a);
    const auto factor = static_cast<Arithmetic<T>>(a.factor);
    const int64_t groups = (shape.elements + kGroup<T> - 1) / kGroup<T>;
    for (int64_t group = grid_thread(); group < groups; group += grid_threads()) {
        const int64_t first = group * kGroup<T>;
        const bool is_whole = group < shape.packs;
        Pack<T, kWidth> packs[kGroup<T> / kWidth]{};
        MEZZO_UNROLL
        for (int i = 0; i < kGroup<T>; i += kWidth) {
            if (is_whole) packs[i / kWidth] = *reinterpret_cast<const Pack<T, kWidth> *>(input + first + i);
        }
        MEZZO_UNROLL
        for (int i = 0; i < kGroup<T>; i += philox::kWords) {
            const auto block =
                philox::block_at(draw.seed, draw.stream, static_cast<uint64_t>(first + i) / philox::kWords);
            MEZZO_UNROLL
            for (int k = 0; k < philox::kWords; ++k) {
                const int64_t at = first + i + k;
                T &element = packs[(i + k) / kWidth].value[(i + k) % kWidth];
                if (!is_whole && at < shape.elements) element = input[at];
                element = dropped_out(element, block.word[k], a.threshold, factor);
                if (!is_whole && at < shape.elements) out[at] = element;
            }
        }
        MEZZO_UNROLL
        for (int i = 0; i < kGroup<T>; i += kWidth) {
            if (is_whole) *reinterpret_cast<Pack<T, kWidth> *>(out + first + i) = packs[i / kWidth];
        }
    }
}

void forward_on_cuda(Device &device, const DropoutForward &a) {
    visit_floating_dtype(a.out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T *out = a.out.as<T>();
        const T *input = a.input.as<const T>();
        const auto places = reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(input);
        const int64_t whole = places % kAccessBytes == 0 ? a.out.elements / kGroup<T> : 0;
        launch_map(device, MapShape{a.out.elements, 0, whole}, dropout_forward_kernel<T>, out, input, a);
    });
}

const Implementation<DropoutForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);

} // namespace
} // namespace mezzo
