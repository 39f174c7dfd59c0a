// SPDX-License-Identifier: MIT
// cast on CUDA: out[i] = input[i] in another dtype
//
//   input  any shape, any dtype
//   out    as many elements, any dtype
//
// Rounded once, to nearest even, as core/convert.h says: the CPU's bits, but for the payload of a NaN. Reads and
// writes each element once, 6 bytes an element for f32 to a half, bound by memory.
//
// The casts of mixed precision, between f32 and the halves, have a kernel each. All other pairs share one kernel that
// looks at the dtypes as it runs and goes through f64, which holds every value but those of i64 exactly, and of these
// what decides how they round. That is two conversions from or to f64 an element, of which a GPU
// with f64 at 1/64 rate does one a clock and multiprocessor; 42 kernels would be ten times as much code.
#include "ops/cast.h"

#include "device/elementwise.cuh"

namespace mezzo {
namespace {

template <class Out, class In>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    cast_forward_kernel(MapShape shape, Out *out, const In *input) {
    const auto cast = [](In value) { return convert<Out>(value); };
    map_elements(shape, out, cast, input);
}

constexpr int kWidth = 8; // elements of a pack of any two dtypes

/// The value as an f64 that rounds to a dtype as the value itself does.
template <class In>
__device__ __forceinline__ double carried(In value, mezzo_dtype out) {
    if constexpr (std::is_same_v<In, int64_t>) {
        if (out != MEZZO_DTYPE_F64) return convert_detail::fold_to_double(value);
    }
    return convert<double>(value);
}

/// Calls visitor(TypeTag<T>{}) with the C++ type of a dtype, in a kernel.
template <class Visitor>
__device__ __forceinline__ void visit_in_kernel(mezzo_dtype dtype, const Visitor &visitor) {
    switch (dtype) {
        case MEZZO_DTYPE_F32:
            return visitor(TypeTag<float>{});
        case MEZZO_DTYPE_F64:
            return visitor(TypeTag<double>{});
        case MEZZO_DTYPE_F16:
            return visitor(TypeTag<Half>{});
        case MEZZO_DTYPE_BF16:
            return visitor(TypeTag<BFloat16>{});
        case MEZZO_DTYPE_I64:
            return visitor(TypeTag<int64_t>{});
        case MEZZO_DTYPE_I32:
            return visitor(TypeTag<int32_t>{});
        case MEZZO_DTYPE_U8:
            return visitor(TypeTag<uint8_t>{});
    }
}

/// out[index] = input[index] for packs of so many elements.
template <int width>
__device__ __forceinline__ void cast_pack(const CastForward &a, int64_t first, int64_t index) {
    Pack<double, width> values{};
    visit_in_kernel(a.input.dtype, [&](auto tag) {
        using In = typename decltype(tag)::type;
        const In *from = reinterpret_cast<const In *>(a.input.data) + first;
        const auto pack = reinterpret_cast<const Pack<In, width> *>(from)[index];
        MEZZO_UNROLL
        for (int k = 0; k < width; ++k) values.value[k] = carried(pack.value[k], a.out.dtype);
    });
    visit_in_kernel(a.out.dtype, [&](auto tag) {
        using Out = typename decltype(tag)::type;
        Pack<Out, width> pack;
        MEZZO_UNROLL
        for (int k = 0; k < width; ++k) pack.value[k] = convert<Out>(values.value[k]);
        Out *to = reinterpret_cast<Out *>(a.out.data) + first;
        reinterpret_cast<Pack<Out, width> *>(to)[index] = pack;
    });
}

__global__ void __launch_bounds__(kMapThreads, kMapBlocks) cast_any_forward_kernel(MapShape shape, CastForward a) {
    for (int64_t index = grid_thread(); index < shape.packs; index += grid_threads()) {
        cast_pack<kWidth>(a, shape.head, index);
    }
    const int64_t singles = shape.elements - kWidth * shape.packs;
    for (int64_t i = grid_thread(); i < singles; i += grid_threads()) {
        cast_pack<1>(a, 0, i < shape.head ? i : i + kWidth * shape.packs);
    }
}

/// Where packs of kWidth elements begin in both tensors.
MapShape any_shape(const CastForward &a) {
    const auto place = [](const TensorData &tensor) {
        return reinterpret_cast<uintptr_t>(tensor.data) / static_cast<uintptr_t>(dtype_size(tensor.dtype));
    };
    return map_shape(a.input.elements, kWidth, {place(a.out), place(a.input)});
}

template <class Out, class In>
void forward(Device &device, const CastForward &a) {
    Out *out = a.out.as<Out>();
    const In *input = a.input.as<const In>();
    launch_map(device, map_shape(a.input.elements, out, input), cast_forward_kernel<Out, In>, out, input);
}

void forward_on_cuda(Device &device, const CastForward &a) {
    const mezzo_dtype from = a.input.dtype;
    const mezzo_dtype to = a.out.dtype;
    if (from == to) {
        device.copy_within(a.out.data, a.input.data, a.input.elements * dtype_size(from));
    } else if (from == MEZZO_DTYPE_F32 && to == MEZZO_DTYPE_F16) {
        forward<Half, float>(device, a);
    } else if (from == MEZZO_DTYPE_F32 && to == MEZZO_DTYPE_BF16) {
        forward<BFloat16, float>(device, a);
    } else if (from == MEZZO_DTYPE_F16 && to == MEZZO_DTYPE_F32) {
        forward<float, Half>(device, a);
    } else if (from == MEZZO_DTYPE_BF16 && to == MEZZO_DTYPE_F32) {
        forward<float, BFloat16>(device, a);
    } else {
        launch_map(device, any_shape(a), cast_any_forward_kernel, a);
    }
}

const Implementation<CastForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);

} // namespace
} // namespace mezzo
