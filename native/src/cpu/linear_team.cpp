// SPDX-License-Identifier: MIT
#include "cpu/linear_team.h"

#include <mutex>

namespace mezzo::cpu {

Range part_of(int64_t n, int64_t parts, int64_t index, int64_t unit) {
    const int64_t units = (n + unit - 1) / unit;
    return {std::min(n, units * index / parts * unit), std::min(n, units * (index + 1) / parts * unit)};
}

int64_t largest_part(int64_t n, int64_t parts, int64_t unit) {
    const int64_t units = (n + unit - 1) / unit;
    return std::min(n, (units + parts - 1) / parts * unit);
}

void run_team(int64_t members, const std::function<void(int64_t)> &member) {
    std::exception_ptr failure;
    std::mutex failure_mutex;
    parallel_for(members, 1, [&](int64_t begin, int64_t end) {
        try {
            for (int64_t index = begin; index < end; ++index) member(index);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(failure_mutex);
            if (!failure) failure = std::current_exception();
        }
    });
    if (failure) std::rethrow_exception(failure);
}

const std::byte *as_element(const std::byte *data, mezzo_dtype dtype, int64_t count, mezzo_dtype element,
                            std::byte *scratch) {
    if (dtype == element) return data;
    // Only halves are ever converted, and only to f32.
    const auto widen_to_f32 = [&](auto tag) {
        using T = typename decltype(tag)::type;
        convert_elements<T>(reinterpret_cast<float *>(scratch), reinterpret_cast<const T *>(data), count);
    };
    if (dtype == MEZZO_DTYPE_F16) {
        widen_to_f32(TypeTag<Half>{});
    } else {
        widen_to_f32(TypeTag<BFloat16>{});
    }
    return scratch;
}

UpcomingRead rows_of(const std::byte *data, mezzo_dtype dtype, int64_t features, Range rows) {
    if (data == nullptr) return {};
    const int64_t row_bytes = features * dtype_size(dtype);
    return {data + rows.begin * row_bytes, rows.size() * row_bytes};
}

bool writes_directly(const ProductBackend &backend, mezzo_dtype dtype, bool accumulate) {
    if (dtype == accumulator_of(backend.element())) return true;
    return dtype == backend.element() && !accumulate;
}

void store_rows(const TensorData &to, int64_t to_stride, const std::byte *from, mezzo_dtype accumulator, Range columns,
                int64_t rows, bool accumulate) {
    visit_floating_dtype(to.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using Sum = Arithmetic<T>;
        if (dtype_of<Sum> != accumulator) fail_dtype(to.dtype);
        T *target = reinterpret_cast<T *>(to.data) + columns.begin;
        const Sum *source = reinterpret_cast<const Sum *>(from);
        const int64_t width = columns.size();
        simd_for(rows, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            for (int64_t row = begin; row < end; ++row) {
                T *row_to = target + row * to_stride;
                const Sum *row_from = source + row * width;
                if (accumulate) {
                    for (int64_t i = 0; i < width; ++i) row_to[i] = convert<T>(widen(row_to[i]) + row_from[i]);
                } else {
                    for (int64_t i = 0; i < width; ++i) row_to[i] = convert<T>(row_from[i]);
                }
            }
        });
    });
}

} // namespace mezzo::cpu
