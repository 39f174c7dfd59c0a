// SPDX-License-Identifier: MIT
// dropout: out[i] = word(i) < (1 - p) 2^32 ? input[i] / (1 - p) : 0
//
//   out, input  one shape, one floating dtype; out may be input
//   word(i)     word i % 4 of block i / 4 of a Philox draw: of (seed, stream) or, with a step, of the seed and stream
//   that
//               block number step of (seed, stream) consists of
//
// 1 / (1 - p) is rounded from f64 to the arithmetic's dtype, f32 for halves. A function of i alone: the same bits on
// every device, for any number of threads, and the same mask for every dtype. About 20 integer operations and 1 FLOP,
// and 2 sizeof(T) bytes an element. Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from
// overfitting", 2014; the words as in random.cpp.
#include "ops/dropout.h"

#include <mezzo/ops.h>

#include <cmath>

#include "core/descriptor.h"
#include "core/parallel.h"

namespace mezzo {
namespace {

/// Words are drawn for this many Philox blocks at a time, so that the loop over blocks is vectorised by itself.
constexpr int64_t kBlocks = 256;

template <class T>
void run(const DropoutForward &a) {
    const Draw draw = draw_of(a);
    const auto factor = static_cast<Arithmetic<T>>(a.factor);
    const uint64_t threshold = a.threshold;
    const int64_t elements = a.out.elements;
    T *out = a.out.as<T>();
    const T *input = a.input.as<const T>();
    const auto loop = [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        uint32_t words[philox::kWords][kBlocks];
        for (int64_t first = begin; first < end; first += philox::kWords * kBlocks) {
            const int64_t first_block = first / philox::kWords;
            for (int64_t b = 0; b < kBlocks; ++b) {
                const auto block = philox::block_at(draw.seed, draw.stream, static_cast<uint64_t>(first_block + b));
                for (int k = 0; k < philox::kWords; ++k) words[k][b] = block.word[k];
            }
            const int64_t left = end - first;
            const int64_t whole = left / philox::kWords < kBlocks ? left / philox::kWords : kBlocks;
            const T *from = input + first;
            T *to = out + first;
#pragma GCC ivdep
            for (int64_t b = 0; b < whole; ++b) {
                for (int k = 0; k < philox::kWords; ++k) {
                    to[philox::kWords * b + k] =
                        dropped_out(from[philox::kWords * b + k], words[k][b], threshold, factor);
                }
            }
            const int64_t past = left < philox::kWords * kBlocks ? left : philox::kWords * kBlocks;
            for (int64_t i = philox::kWords * whole; i < past; ++i) {
                to[i] = dropped_out(from[i], words[i % philox::kWords][whole], threshold, factor);
            }
        }
    };
    // Parts begin at multiples of the grain, and so at a block's first word.
    static_assert(kElementGrain % philox::kWords == 0);
    parallel_for(elements, kElementGrain, loop);
}

void forward_on_cpu(Device &, const DropoutForward &a) {
    visit_floating_dtype(a.out.dtype, [&](auto tag) { run<typename decltype(tag)::type>(a); });
}

const Implementation<DropoutForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, forward_on_cpu);

void dropout_forward(const TensorRef &out, const TensorRef &input, const mezzo_dropout_desc *given) {
    const mezzo_dropout_desc &desc = require_pointer(given, "desc");
    expect_struct_size(desc, "desc");
    expect_reserved(desc.reserved, "reserved");
    if (!(desc.p >= 0 && desc.p <= 1)) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.p is %g, expected 0 to 1", desc.p);
    }
    const TensorRef step = optional_tensor(desc.step, "desc.step");
    expect_same_device({&out, &input, &step});
    expect_floating(input);
    expect_same_shape_and_dtype(out, input);
    expect_scalar(step);
    expect_dtype(step, {MEZZO_DTYPE_I64});
    expect_in_place_or_no_overlap(out, input);
    expect_no_overlap(out, step);
    const double kept = 1 - desc.p;
    const auto threshold = static_cast<uint64_t>(std::nearbyint(std::ldexp(kept, 32)));
    run_op(out.device(), DropoutForward{out, input, step, desc.seed, desc.stream, threshold, 1 / kept});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_dropout_forward(mezzo_tensor out, mezzo_tensor input, const mezzo_dropout_desc *desc) {
    return mezzo::guard("dropout_forward", [&] {
        mezzo::dropout_forward(mezzo::require_tensor(out, "out"), mezzo::require_tensor(input, "input"), desc);
    });
}
