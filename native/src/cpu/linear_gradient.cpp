// SPDX-License-Identifier: MIT
#include "cpu/linear_gradient.h"

#include "cpu/rectify.h"

namespace mezzo::cpu {
namespace {

/// Calls `visitor(TypeTag<T>{})` for a layer's dtype or the dtype that it is computed in.
template <class T, class Visitor>
void visit_own_or_arithmetic(mezzo_dtype dtype, const Visitor &visitor) {
    if (dtype == dtype_of<T>) {
        visitor(TypeTag<T>{});
    } else if (dtype == dtype_of<Arithmetic<T>>) {
        visitor(TypeTag<Arithmetic<T>>{});
    } else {
        fail_dtype(dtype);
    }
}

template <class T, class Element, class Gradient, class Output>
void mask_elements(Element *to, const Gradient *gradient, const Output *output, int64_t n) {
    simd_for(n, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        for (int64_t i = begin; i < end; ++i) {
            to[i] = zero_if(is_off(output[i]), convert<Element>(convert<T>(gradient[i])));
        }
    });
}

} // namespace

const std::byte *masked_gradient(const LinearBackward &layer, mezzo_dtype element, int64_t first, int64_t count,
                                 std::byte *scratch) {
    const std::byte *gradient_data = layer.grad_output.data + first * dtype_size(layer.grad_output.dtype);
    const bool as_it_is = !layer.output && layer.grad_output.dtype == element && layer.dtype == element;
    // What is overwritten in place is needed once more, for the weight gradient.
    if (as_it_is && !layer.in_place()) return gradient_data;

    visit_floating_dtype(layer.dtype, [&](auto layer_tag) {
        using T = typename decltype(layer_tag)::type;
        visit_own_or_arithmetic<T>(element, [&](auto element_tag) {
            using Element = typename decltype(element_tag)::type;
            visit_own_or_arithmetic<T>(layer.grad_output.dtype, [&](auto gradient_tag) {
                using Gradient = typename decltype(gradient_tag)::type;
                auto *to = reinterpret_cast<Element *>(scratch);
                const auto *gradient = reinterpret_cast<const Gradient *>(gradient_data);
                if (!layer.output) return convert_elements<T>(to, gradient, count);
                visit_own_or_arithmetic<T>(layer.output.dtype, [&](auto output_tag) {
                    using Output = typename decltype(output_tag)::type;
                    mask_elements<T>(to, gradient, reinterpret_cast<const Output *>(layer.output.data) + first, count);
                });
            });
        });
    });
    return scratch;
}

void mask_by_input(const ProductTarget &product, int64_t rows, int64_t columns, const std::byte *input,
                   mezzo_dtype layer_dtype, int64_t input_stride) {
    visit_floating_dtype(layer_dtype, [&](auto layer_tag) {
        using T = typename decltype(layer_tag)::type;
        visit_own_or_arithmetic<T>(product.dtype, [&](auto product_tag) {
            using Product = typename decltype(product_tag)::type;
            auto *const to = reinterpret_cast<Product *>(product.data);
            const T *const from = reinterpret_cast<const T *>(input);
            const int64_t stride = product.row_stride;
            simd_for(rows, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
                for (int64_t row = begin; row < end; ++row) {
                    Product *const row_to = to + row * stride;
                    const T *const row_from = from + row * input_stride;
                    for (int64_t i = 0; i < columns; ++i) row_to[i] = zero_if(is_off(row_from[i]), row_to[i]);
                }
            });
        });
    });
}

void add_column_sums(std::byte *sums, const std::byte *gradient, mezzo_dtype element, int64_t stride, Range columns,
                     int64_t rows) {
    visit_floating_dtype(element, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using Sum = Arithmetic<T>;
        Sum *to = reinterpret_cast<Sum *>(sums);
        const T *from = reinterpret_cast<const T *>(gradient) + columns.begin;
        simd_for(columns.size(), [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            Sum chunk[kChunk];
            for (int64_t column = begin; column < end; column += kChunk) {
                const int64_t count = std::min(kChunk, end - column);
                std::fill_n(chunk, count, Sum{0});
                for (int64_t row = 0; row < rows; ++row) {
                    const T *values = from + row * stride + column;
                    for (int64_t i = 0; i < count; ++i) chunk[i] += widen(values[i]);
                }
                for (int64_t i = 0; i < count; ++i) to[column + i] += chunk[i];
            }
        });
    });
}

void reduce_partials(const TensorData &to, const std::byte *partials, const PartialsShape &shape, bool accumulate) {
    visit_floating_dtype(to.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using Sum = Arithmetic<T>;
        if (dtype_of<Sum> != shape.accumulator) fail_dtype(to.dtype);
        T *target = reinterpret_cast<T *>(to.data);
        const Sum *source = reinterpret_cast<const Sum *>(partials);
        const int64_t grain = std::max<int64_t>(1, kElementGrain / shape.columns);
        parallel_for(shape.rows, grain, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            const auto [accumulator, parts, rows, columns, row_stride] = shape;
            const int64_t part_stride = rows * row_stride;
            Sum chunk[kChunk];
            for (int64_t row = begin; row < end; ++row) {
                for (int64_t column = 0; column < columns; column += kChunk) {
                    const int64_t n = std::min(kChunk, columns - column);
                    const Sum *from = source + row * row_stride + column;
                    T *row_to = target + row * columns + column;
                    for (int64_t i = 0; i < n; ++i) chunk[i] = from[i];
                    for (int64_t part = 1; part < parts; ++part) {
                        for (int64_t i = 0; i < n; ++i) chunk[i] += from[part * part_stride + i];
                    }
                    for (int64_t i = 0; i < n; ++i) {
                        row_to[i] = convert<T>(accumulate ? widen(row_to[i]) + chunk[i] : chunk[i]);
                    }
                }
            }
        });
    });
}

} // namespace mezzo::cpu
