// SPDX-License-Identifier: MIT
// relu_mask: bit i % 8 of mask[i / 8] is 0 where output[i] <= 0, else 1; and back, to 0 and 1
//
//   output  any shape, f64, f32, f16 or bf16
//   mask    u8, (n + 7) / 8 elements; bits past the n-th are 0
//
// A thread has bytes of the mask of its own. sizeof(T) + 1/8 bytes an element. Eight answers, a byte each, are
// gathered into one byte by a product: bit 0 of byte k is shifted to bit 56 + k, and the sums have no carries.
#include "ops/relu_mask.h"

#include <mezzo/ops.h>

#include "core/parallel.h"
#include "cpu/rectify.h"

#include <algorithm>
#include <cstring>

namespace mezzo {
namespace {

constexpr int64_t kBytesAtOnce = 8; // of a mask, so that the comparisons are vectorised
constexpr int64_t kByteGrain = kElementGrain / kMaskBits;

template <class T>
MEZZO_ALWAYS_INLINE inline void pack(uint8_t *mask, const T *output, int64_t elements) {
    uint8_t on[kBytesAtOnce * kMaskBits] = {};
    for (int64_t i = 0; i < elements; ++i) on[i] = static_cast<uint8_t>(!cpu::is_off(output[i]));
    for (int64_t byte = 0; byte * kMaskBits < elements; ++byte) {
        uint64_t eight = 0;
        std::memcpy(&eight, on + byte * kMaskBits, sizeof eight);
        mask[byte] = static_cast<uint8_t>(eight * 0x0102040810204080 >> 56);
    }
}

void pack_on_cpu(Device &, const ReluMaskPack &a) {
    visit_floating_dtype(a.output.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto loop = [mask = a.mask.as<uint8_t>(), output = a.output.as<const T>(), elements = a.output.elements](
                              int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            constexpr int64_t kAtOnce = kBytesAtOnce * kMaskBits;
            const int64_t last = std::min(elements, end * kMaskBits);
            int64_t i = begin * kMaskBits;
            for (; i + kAtOnce <= last; i += kAtOnce) pack(mask + i / kMaskBits, output + i, kAtOnce);
            if (i < last) pack(mask + i / kMaskBits, output + i, last - i);
        };
        parallel_for(a.mask.elements, kByteGrain, loop);
    });
}

void unpack_on_cpu(Device &, const ReluMaskUnpack &a) {
    visit_floating_dtype(a.output.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using Bits = BitsOf<T>; // a choice of a half's structs is not vectorised
        const auto loop = [output = reinterpret_cast<Bits *>(a.output.as<T>()), mask = a.mask.as<const uint8_t>(),
                           elements = a.output.elements, one = std::bit_cast<Bits>(convert<T>(1.0F))](
                              int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            for (int64_t byte = begin; byte < end; ++byte) {
                Bits *to = output + byte * kMaskBits;
                const uint32_t bits = mask[byte];
                if (elements - byte * kMaskBits >= kMaskBits) {
                    for (uint32_t k = 0; k < kMaskBits; ++k) to[k] = (bits >> k & 1) != 0 ? one : Bits{0};
                } else {
                    for (int64_t k = 0; byte * kMaskBits + k < elements; ++k)
                        to[k] = (bits >> k & 1) != 0 ? one : Bits{0};
                }
            }
        };
        parallel_for(a.mask.elements, kByteGrain, loop);
    });
}

const Implementation<ReluMaskPack> cpu_pack(MEZZO_DEVICE_TYPE_CPU, pack_on_cpu);
const Implementation<ReluMaskUnpack> cpu_unpack(MEZZO_DEVICE_TYPE_CPU, unpack_on_cpu);

void expect_mask_of(const TensorRef &mask, const TensorRef &output) {
    expect_same_device(mask, output);
    expect_floating(output);
    expect_dtype(mask, {MEZZO_DTYPE_U8});
    const int64_t bytes = (output.elements() - 1) / kMaskBits + 1;
    if (mask.elements() != bytes) {
        fail(MEZZO_STATUS_SHAPE_MISMATCH, "mask is %s, expected %lld elements for output, which is %s",
             mask.text().c_str(), static_cast<long long>(bytes), output.text().c_str());
    }
    expect_no_overlap(mask, output);
}

void relu_mask_pack(const TensorRef &mask, const TensorRef &output) {
    expect_mask_of(mask, output);
    run_op(mask.device(), ReluMaskPack{mask, output});
}

void relu_mask_unpack(const TensorRef &output, const TensorRef &mask) {
    expect_mask_of(mask, output);
    run_op(output.device(), ReluMaskUnpack{output, mask});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_relu_mask_pack(mezzo_tensor mask, mezzo_tensor output) {
    return mezzo::guard("relu_mask_pack", [&] {
        mezzo::relu_mask_pack(mezzo::require_tensor(mask, "mask"), mezzo::require_tensor(output, "output"));
    });
}

mezzo_status mezzo_relu_mask_unpack(mezzo_tensor output, mezzo_tensor mask) {
    return mezzo::guard("relu_mask_unpack", [&] {
        mezzo::relu_mask_unpack(mezzo::require_tensor(output, "output"), mezzo::require_tensor(mask, "mask"));
    });
}
