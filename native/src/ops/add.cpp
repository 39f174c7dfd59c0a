// SPDX-License-Identifier: MIT
// add: out[i] = a[i] + b[i]
//
//   out, a, b  one shape, one floating dtype; out may be a or b
//
// Halves are added in f32 and rounded once. 1 FLOP and 3 sizeof(T) bytes an element.
#include "ops/add.h"

#include <mezzo/ops.h>

#include "ops/elementwise.h"

namespace mezzo {
namespace {

void forward_on_cpu(Device &, const AddForward &arguments) {
    visit_floating_dtype(arguments.out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto sum = [](T a, T b) MEZZO_ALWAYS_INLINE { return rounded_sum(a, b); };
        map_elements(arguments.out.elements, arguments.out.as<T>(), sum, arguments.a.as<const T>(),
                     arguments.b.as<const T>());
    });
}

const Implementation<AddForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, forward_on_cpu);

void add_forward(const TensorRef &out, const TensorRef &a, const TensorRef &b) {
    expect_same_device({&out, &a, &b});
    expect_floating(a);
    expect_same_shape_and_dtype(b, a);
    expect_same_shape_and_dtype(out, a);
    expect_in_place_or_no_overlap(out, a);
    expect_in_place_or_no_overlap(out, b);
    run_op(out.device(), AddForward{out, a, b});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_add_forward(mezzo_tensor out, mezzo_tensor a, mezzo_tensor b) {
    return mezzo::guard("add_forward", [&] {
        mezzo::add_forward(mezzo::require_tensor(out, "out"), mezzo::require_tensor(a, "a"),
                           mezzo::require_tensor(b, "b"));
    });
}
