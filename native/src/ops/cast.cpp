// SPDX-License-Identifier: MIT
// cast: out[i] = input[i] in another dtype
//
//   input  any shape, any dtype
//   out    as many elements, any dtype
//
// Every pair of dtypes is rounded once, to nearest even; to integers it truncates, saturates and turns NaN
// into 0. Reads and writes each element once: 6 bytes an element for f32 to a half.
#include <mezzo/ops.h>

#include "core/tensor.h"
#include "ops/elementwise.h"

namespace mezzo {
namespace {

void cast_forward(const TensorRef &out, const TensorRef &input) {
    expect_same_device(out, input);
    expect_same_elements(out, input);
    expect_no_overlap(out, input);
    visit_dtype(out.dtype(), [&](auto out_tag) {
        using Out = typename decltype(out_tag)::type;
        visit_dtype(input.dtype(), [&](auto input_tag) {
            using In = typename decltype(input_tag)::type;
            const auto cast = [](In element) MEZZO_ALWAYS_INLINE { return convert<Out>(element); };
            map_elements(input.elements(), out.data<Out>(), cast, input.data<const In>());
        });
    });
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_cast_forward(mezzo_tensor out, mezzo_tensor input) {
    return mezzo::guard("cast_forward", [&] {
        mezzo::cast_forward(mezzo::require_tensor(out, "out"), mezzo::require_tensor(input, "input"));
    });
}
