// SPDX-License-Identifier: MIT
// cast: out[i] = input[i] in another dtype
//
//   input  any shape, any dtype
//   out    as many elements, any dtype
//
// Every pair of dtypes is rounded once, to nearest even; to integers it truncates, saturates and turns NaN
// into 0. Reads and writes each element once: 6 bytes an element for f32 to a half.
#include "ops/cast.h"

#include <mezzo/ops.h>

#include "ops/elementwise.h"

namespace mezzo {
namespace {

void forward_on_cpu(Device &, const CastForward &arguments) {
    visit_dtype(arguments.out.dtype, [&](auto out_tag) {
        using Out = typename decltype(out_tag)::type;
        visit_dtype(arguments.input.dtype, [&](auto input_tag) {
            using In = typename decltype(input_tag)::type;
            const auto cast = [](In element) MEZZO_ALWAYS_INLINE { return convert<Out>(element); };
            map_elements(arguments.input.elements, arguments.out.as<Out>(), cast, arguments.input.as<const In>());
        });
    });
}

const Implementation<CastForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, forward_on_cpu);

void cast_forward(const TensorRef &out, const TensorRef &input) {
    expect_same_device(out, input);
    expect_same_elements(out, input);
    expect_no_overlap(out, input);
    run_op(out.device(), CastForward{out, input});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_cast_forward(mezzo_tensor out, mezzo_tensor input) {
    return mezzo::guard("cast_forward", [&] {
        mezzo::cast_forward(mezzo::require_tensor(out, "out"), mezzo::require_tensor(input, "input"));
    });
}
