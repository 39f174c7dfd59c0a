// SPDX-License-Identifier: MIT
// embedding: out[i, :] = weight[indices[i], :];  grad_weight[r, :] = sum of grad_output[i, :] where indices[i] = r
//
//   weight, grad_weight  [rows, features]
//   out, grad_output     [indices, features]
//   indices              i32 or i64
//
// The gradient's terms are added in f64 in the order of i, and rounded when they are stored, to a half by way of f32.
// The positions of each row are found first, by counting: 8 (rows + indices) bytes of scratch memory.
// Source: PyTorch's embedding, dense gradients.
#include "ops/embedding.h"

#include <mezzo/ops.h>

#include "core/arithmetic.h"
#include "core/descriptor.h"
#include "core/parallel.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace mezzo {
namespace {

template <class Visitor>
void visit_indices(const TensorData &indices, const Visitor &visitor) {
    if (indices.dtype == MEZZO_DTYPE_I32) {
        visitor(indices.as<const int32_t>());
    } else {
        visitor(indices.as<const int64_t>());
    }
}

template <class Index>
void expect_in_range(const Index *indices, int64_t count, int64_t rows) {
    for (int64_t i = 0; i < count; ++i) {
        if (indices[i] >= 0 && indices[i] < rows) continue;
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "indices[%lld] is %lld, expected 0 to %lld", static_cast<long long>(i),
             static_cast<long long>(indices[i]), static_cast<long long>(rows - 1));
    }
}

void forward_on_cpu(Device &, const EmbeddingForward &a) {
    visit_indices(a.indices, [&](const auto *indices) {
        expect_in_range(indices, a.indices.elements, a.rows);
        const int64_t row_bytes = a.features * dtype_size(a.weight.dtype);
        const int64_t grain = divide_up(kElementGrain, a.features);
        parallel_for(a.indices.elements, grain, [=, &a](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            for (int64_t i = begin; i < end; ++i) {
                std::memcpy(a.out.data + i * row_bytes, a.weight.data + indices[i] * row_bytes,
                            static_cast<size_t>(row_bytes));
            }
        });
    });
}

/// The positions in `indices` of each row, in order: those of row r are [places[r], places[r + 1]) of `positions`.
template <class Index>
void group_by_row(const EmbeddingBackward &a, const Index *indices, int64_t *places, int64_t *positions) {
    std::fill_n(places, a.rows + 1, 0);
    const auto counts = [&](int64_t i) { return takes_part(indices[i], a.rows, a.padding_index); };
    for (int64_t i = 0; i < a.indices.elements; ++i) {
        if (counts(i)) ++places[indices[i]];
    }
    int64_t first = 0;
    for (int64_t row = 0; row < a.rows; ++row) first += std::exchange(places[row], first);
    for (int64_t i = 0; i < a.indices.elements; ++i) {
        if (counts(i)) positions[places[indices[i]]++] = i;
    }
    // Each place has moved on to where the next row begins.
    for (int64_t row = a.rows; row > 0; --row) places[row] = places[row - 1];
    places[0] = 0;
}

template <class T, class Gradient>
void add_rows(const EmbeddingBackward &a, const int64_t *places, const int64_t *positions) {
    T *to = a.grad_weight.as<T>();
    const Gradient *from = a.grad_output.as<const Gradient>();
    const int64_t features = a.features;
    const bool accumulate = a.accumulate;
    parallel_for(a.rows, divide_up(kElementGrain, features), [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        constexpr int64_t kChunk = 256;
        double sums[kChunk];
        for (int64_t row = begin; row < end; ++row) {
            if (accumulate && places[row] == places[row + 1]) continue;
            for (int64_t column = 0; column < features; column += kChunk) {
                const int64_t count = std::min(kChunk, features - column);
                for (int64_t j = 0; j < count; ++j) sums[j] = 0;
                for (int64_t place = places[row]; place < places[row + 1]; ++place) {
                    const Gradient *terms = from + positions[place] * features + column;
                    for (int64_t j = 0; j < count; ++j) sums[j] += static_cast<double>(widen(terms[j]));
                }
                T *row_to = to + row * features + column;
                for (int64_t j = 0; j < count; ++j) row_to[j] = stored_sum<T>(sums[j], row_to[j], accumulate);
            }
        }
    });
}

void backward_on_cpu(Device &device, const EmbeddingBackward &a) {
    const Scratch<int64_t> places(device.memory(), a.rows + 1);
    const Scratch<int64_t> positions(device.memory(), a.indices.elements);
    visit_indices(a.indices, [&](const auto *indices) {
        expect_in_range(indices, a.indices.elements, a.rows);
        group_by_row(a, indices, places.data(), positions.data());
    });
    visit_floating_dtype(a.grad_output.dtype, [&](auto tag) {
        using Gradient = typename decltype(tag)::type;
        if (a.grad_weight.dtype == a.grad_output.dtype) {
            add_rows<Gradient, Gradient>(a, places.data(), positions.data());
        } else {
            add_rows<Arithmetic<Gradient>, Gradient>(a, places.data(), positions.data());
        }
    });
}

const Implementation<EmbeddingForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, forward_on_cpu);
const Implementation<EmbeddingBackward> cpu_backward(MEZZO_DEVICE_TYPE_CPU, backward_on_cpu);

void expect_weight(const TensorRef &weight) {
    if (weight.rank() == 2) return;
    fail(MEZZO_STATUS_SHAPE_MISMATCH, "%s is %s, expected [rows, features]", weight.name().c_str(),
         weight.text().c_str());
}

/// What holds for both ways: `rows` has the shape of the indices and the features.
void check(const TensorRef &rows, const TensorRef &weight, const TensorRef &indices) {
    expect_same_device({&rows, &weight, &indices});
    expect_weight(weight);
    expect_dtype(indices, {MEZZO_DTYPE_I32, MEZZO_DTYPE_I64});
    if (indices.rank() == MEZZO_MAX_RANK) {
        fail(MEZZO_STATUS_SHAPE_MISMATCH, "indices is %s, expected at most %d dimensions", indices.text().c_str(),
             MEZZO_MAX_RANK - 1);
    }
    std::array<int64_t, MEZZO_MAX_RANK> shape{};
    *std::copy(indices.shape().begin(), indices.shape().end(), shape.begin()) = weight.dim(1);
    expect_shape(rows, {shape.data(), static_cast<size_t>(indices.rank()) + 1});
}

void embedding_forward(const TensorRef &out, const TensorRef &weight, const TensorRef &indices) {
    expect_floating(weight);
    check(out, weight, indices);
    expect_dtype(out, {weight.dtype()});
    expect_no_overlap(out, weight);
    expect_no_overlap(out, indices);
    run_op(out.device(), EmbeddingForward{out, weight, indices, weight.dim(0), weight.dim(1)});
}

void embedding_backward(const TensorRef &grad_weight, const TensorRef &grad_output, const TensorRef &indices,
                        const mezzo_embedding_desc &desc) {
    expect_flag(desc.accumulate, "accumulate");
    expect_floating(grad_output);
    check(grad_output, grad_weight, indices);
    expect_own_or_f32(grad_weight, grad_output.dtype());
    expect_no_overlap(grad_weight, grad_output);
    expect_no_overlap(grad_weight, indices);
    const int64_t rows = grad_weight.dim(0);
    if (desc.padding_index < -1 || desc.padding_index >= rows) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.padding_index is %lld, expected -1 to %lld",
             static_cast<long long>(desc.padding_index), static_cast<long long>(rows - 1));
    }
    if (indices.elements() > INT32_MAX) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "indices is %s, expected at most 2^31 - 1 elements",
             indices.text().c_str());
    }
    run_op(grad_weight.device(), EmbeddingBackward{grad_weight, grad_output, indices, rows, grad_weight.dim(1),
                                                   desc.padding_index, desc.accumulate != 0});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_embedding_forward(mezzo_tensor out, mezzo_tensor weight, mezzo_tensor indices) {
    return mezzo::guard("embedding_forward", [&] {
        mezzo::embedding_forward(mezzo::require_tensor(out, "out"), mezzo::require_tensor(weight, "weight"),
                                 mezzo::require_tensor(indices, "indices"));
    });
}

mezzo_status mezzo_embedding_backward(mezzo_tensor grad_weight, mezzo_tensor grad_output, mezzo_tensor indices,
                                      const mezzo_embedding_desc *desc) {
    return mezzo::guard("embedding_backward", [&] {
        constexpr mezzo_embedding_desc kDefaults = {sizeof(mezzo_embedding_desc), 0, -1};
        mezzo::embedding_backward(mezzo::require_tensor(grad_weight, "grad_weight"),
                                  mezzo::require_tensor(grad_output, "grad_output"),
                                  mezzo::require_tensor(indices, "indices"), mezzo::read_descriptor(desc, kDefaults));
    });
}
