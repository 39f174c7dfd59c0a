// SPDX-License-Identifier: MIT
// fill: out[i] = value
//
//   out  any shape, any dtype
//
// The value is rounded once, to nearest even, from f64 to out's dtype. Writes each element once.
#include "ops/fill.h"

#include <mezzo/ops.h>

#include <cmath>
#include <limits>

#include "ops/elementwise.h"

namespace mezzo {
namespace {

template <class Integer>
void expect_representable(double value) {
    constexpr Integer kLowest = std::numeric_limits<Integer>::min();
    constexpr Integer kLargest = std::numeric_limits<Integer>::max();
    // The bound above is the first value past the range, because the largest i64 is no f64.
    constexpr double kPast = static_cast<double>(kLargest / 2 + 1) * 2;
    if (value >= static_cast<double>(kLowest) && value < kPast && std::trunc(value) == value) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "value is %.17g, expected an integer from %lld to %lld for %s", value,
         static_cast<long long>(kLowest), static_cast<long long>(kLargest), dtype_name(dtype_of<Integer>));
}

void fill_on_cpu(Device &, const Fill &arguments) {
    visit_dtype(arguments.out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        fill_elements(arguments.out.elements, arguments.out.as<T>(), convert<T>(arguments.value));
    });
}

const Implementation<Fill> cpu_fill(MEZZO_DEVICE_TYPE_CPU, fill_on_cpu);

void fill(const TensorRef &out, double value) {
    visit_dtype(out.dtype(), [&](auto tag) {
        using T = typename decltype(tag)::type;
        if constexpr (std::is_integral_v<T>) expect_representable<T>(value);
    });
    run_op(out.device(), Fill{out, value});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_fill(mezzo_tensor out, double value) {
    return mezzo::guard("fill", [&] { mezzo::fill(mezzo::require_tensor(out, "out"), value); });
}
