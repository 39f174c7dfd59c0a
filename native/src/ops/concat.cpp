// SPDX-License-Identifier: MIT
// concat: out[.., start_i + j, ..] = inputs[i][.., j, ..] along a dimension; backward: a part of it
//
// Whatever the dtype, a tensor is a matrix of bytes: a row for each index of the dimensions before `dim`, which holds
// everything from `dim` on. 2 bytes of traffic for each byte joined.
// Source: PyTorch's cat.
#include "ops/concat.h"

#include <mezzo/ops.h>

#include "core/parallel.h"
#include "ops/tensor_list.h"

#include <algorithm>
#include <cstring>

namespace mezzo {
namespace {

void concat_on_cpu(Device &, const Concat &a) {
    for (const RowCopy &copy : a.copies) {
        const int64_t bytes = copy.row_bytes;
        const int64_t total = copy.rows * bytes;
        // Parts of the bytes, not of the rows: there may be one row alone.
        parallel_for(total, kElementGrain * int64_t{4}, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            for (int64_t at = begin; at < end;) {
                const int64_t row = at / bytes;
                const int64_t column = at % bytes;
                const int64_t count = std::min(bytes - column, end - at);
                std::memcpy(copy.to + row * copy.to_pitch + column, copy.from + row * copy.from_pitch + column,
                            static_cast<size_t>(count));
                at += count;
            }
        });
    }
}

const Implementation<Concat> cpu_concat(MEZZO_DEVICE_TYPE_CPU, concat_on_cpu);

void expect_dim(int32_t dim, const TensorRef &tensor) {
    if (dim >= 0 && dim < tensor.rank()) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "dim is %d, expected a dimension of %s, which is %s", dim,
         tensor.name().c_str(), tensor.text().c_str());
}

/// SHAPE_MISMATCH unless two tensors differ in one dimension at most.
void expect_same_but(const TensorRef &tensor, const TensorRef &other, int32_t dim) {
    bool same = tensor.rank() == other.rank();
    for (int32_t i = 0; same && i < tensor.rank(); ++i) same = i == dim || tensor.dim(i) == other.dim(i);
    if (same) return;
    fail(MEZZO_STATUS_SHAPE_MISMATCH, "%s is %s, expected the shape of %s, which is %s, but for dimension %d",
         tensor.name().c_str(), tensor.text().c_str(), other.name().c_str(), other.text().c_str(), dim);
}

/// Where a part lies in the whole. `to` and `from` are for the caller to say.
RowCopy rows_of(const TensorRef &part, const TensorRef &whole, int32_t dim, int64_t start) {
    int64_t rows = 1;
    for (int32_t i = 0; i < dim; ++i) rows *= whole.dim(i);
    const int64_t pitch = whole.bytes() / rows;
    const int64_t before = pitch / whole.dim(dim) * start;
    return {whole.bytes_data() + before, part.bytes_data(), rows, part.bytes() / rows, pitch, part.bytes() / rows};
}

void concat_forward(const TensorRef &out, const std::vector<TensorRef> &inputs, int32_t dim) {
    expect_dim(dim, out);
    Concat call;
    int64_t extent = 0;
    for (const TensorRef &input : inputs) {
        expect_same_device(input, out);
        expect_dtype(input, {out.dtype()});
        expect_same_but(input, out, dim);
        expect_no_overlap(out, input);
        extent += input.dim(dim);
        if (extent <= out.dim(dim)) call.copies.push_back(rows_of(input, out, dim, extent - input.dim(dim)));
    }
    if (extent != out.dim(dim)) {
        fail(MEZZO_STATUS_SHAPE_MISMATCH, "out is %s, expected %lld, the sum of the inputs' extents, in dimension %d",
             out.text().c_str(), static_cast<long long>(extent), dim);
    }
    run_op(out.device(), call);
}

void concat_backward(const TensorRef &grad_input, const TensorRef &grad_output, int32_t dim, int64_t start) {
    expect_dim(dim, grad_output);
    expect_same_device(grad_input, grad_output);
    expect_dtype(grad_input, {grad_output.dtype()});
    expect_same_but(grad_input, grad_output, dim);
    expect_no_overlap(grad_input, grad_output);
    const int64_t extent = grad_input.dim(dim);
    if (start < 0 || start > grad_output.dim(dim) - extent) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT,
             "start is %lld, expected 0 to %lld, for grad_input is %s and grad_output %s",
             static_cast<long long>(start), static_cast<long long>(grad_output.dim(dim) - extent),
             grad_input.text().c_str(), grad_output.text().c_str());
    }
    RowCopy copy = rows_of(grad_input, grad_output, dim, start);
    const std::byte *from = copy.to;
    copy.to = grad_input.bytes_data();
    copy.from = from;
    std::swap(copy.to_pitch, copy.from_pitch);
    run_op(grad_input.device(), Concat{{copy}});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_concat_forward(mezzo_tensor out, const mezzo_tensor *inputs, int32_t count, int32_t dim) {
    return mezzo::guard("concat_forward", [&] {
        mezzo::expect_count(count, 1);
        mezzo::concat_forward(mezzo::require_tensor(out, "out"), mezzo::require_tensors(inputs, count, "inputs"), dim);
    });
}

mezzo_status mezzo_concat_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, int32_t dim, int64_t start) {
    return mezzo::guard("concat_backward", [&] {
        mezzo::concat_backward(mezzo::require_tensor(grad_input, "grad_input"),
                               mezzo::require_tensor(grad_output, "grad_output"), dim, start);
    });
}
