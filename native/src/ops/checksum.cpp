// SPDX-License-Identifier: MIT
// checksum: out = sum_i mix(bits(input[i]) + (i + 1) c), modulo 2^64; the constants are in ops.h
//
//   input  any shape, any dtype
//   out    i64 scalar
//
// A term depends on the bits and the index of one element, and integers may be added in any order: the same on every
// device and number of threads. Reads each element once. 2 products of 64 bits an element, which without AVX-512 are
// three of 32 bits each.
#include "ops/checksum.h"

#include <mezzo/ops.h>

#include "core/parallel.h"

#include <atomic>
#include <cstring>

namespace mezzo {
namespace {

template <class Bits>
uint64_t checksum_of(const std::byte *data, int64_t elements) {
    std::atomic<uint64_t> total{0};
    parallel_for(elements, kElementGrain, [=, &total](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        uint64_t sum = 0;
        for (int64_t i = begin; i < end; ++i) {
            Bits bits; // copied, because what is stored is of another type; a copy of a half's struct is not vectorised
            std::memcpy(&bits, data + i * static_cast<int64_t>(sizeof(Bits)), sizeof(Bits));
            sum += checksum_term(bits, i);
        }
        total.fetch_add(sum, std::memory_order_relaxed);
    });
    return total;
}

void checksum_on_cpu(Device &, const Checksum &arguments) {
    visit_bits(arguments.input.dtype, [&](auto tag) {
        using Bits = typename decltype(tag)::type;
        const uint64_t sum = checksum_of<Bits>(arguments.input.data, arguments.input.elements);
        *arguments.out.as<int64_t>() = static_cast<int64_t>(sum);
    });
}

const Implementation<Checksum> cpu_checksum(MEZZO_DEVICE_TYPE_CPU, checksum_on_cpu);

void checksum(const TensorRef &out, const TensorRef &input) {
    expect_same_device(out, input);
    expect_scalar(out);
    expect_dtype(out, {MEZZO_DTYPE_I64});
    expect_no_overlap(out, input);
    run_op(out.device(), Checksum{out, input});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_checksum(mezzo_tensor out, mezzo_tensor input) {
    return mezzo::guard(
        "checksum", [&] { mezzo::checksum(mezzo::require_tensor(out, "out"), mezzo::require_tensor(input, "input")); });
}
