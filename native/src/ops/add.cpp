// SPDX-License-Identifier: MIT
// add: out[i] = a[i] + b[i]
//
//   out, a, b  one shape, one floating dtype; out may be a or b
//
// Halves are added in f32 and rounded once. 1 FLOP and 3 sizeof(T) bytes an element.
#include <mezzo/ops.h>

#include "core/tensor.h"
#include "ops/elementwise.h"

namespace mezzo {
namespace {

void add_forward(const TensorRef &out, const TensorRef &a, const TensorRef &b) {
    expect_same_device({&out, &a, &b});
    expect_floating(a);
    expect_same_shape_and_dtype(b, a);
    expect_same_shape_and_dtype(out, a);
    expect_in_place_or_no_overlap(out, a);
    expect_in_place_or_no_overlap(out, b);
    visit_floating_dtype(a.dtype(), [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto sum = [](T left, T right) MEZZO_ALWAYS_INLINE { return convert<T>(widen(left) + widen(right)); };
        map_elements(a.elements(), out.data<T>(), sum, a.data<const T>(), b.data<const T>());
    });
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_add_forward(mezzo_tensor out, mezzo_tensor a, mezzo_tensor b) {
    return mezzo::guard("add_forward", [&] {
        mezzo::add_forward(mezzo::require_tensor(out, "out"), mezzo::require_tensor(a, "a"),
                           mezzo::require_tensor(b, "b"));
    });
}
