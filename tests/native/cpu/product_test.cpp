// SPDX-License-Identifier: MIT
// Every matrix product backend that this build and machine have, against the oracle and in the layer.
#include "cpu/product.h"
#include "cpu/linear.h"

#include "core/device.h"
#include "core/dtype.h"
#include "support/oracle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace mezzo::testing {
namespace {

using cpu::MatrixView;
using cpu::ProductBackend;
using cpu::ProductShape;
using cpu::ProductTarget;

// -------------------------------------------------------------------------------------------------------
// Products
// -------------------------------------------------------------------------------------------------------

std::vector<const ProductBackend *> backends() {
    std::vector<const ProductBackend *> found;
    for (const mezzo_dtype element : kFloatingDTypes) {
        for (const ProductBackend *backend : {cpu::thin_backend(element), cpu::tile_backend(element),
                                              cpu::onednn_backend(element), cpu::plain_backend(element)}) {
            if (backend != nullptr) found.push_back(backend);
        }
    }
    return found;
}

bool takes(const ProductBackend &backend, const ProductShape &shape) {
    return &backend != cpu::thin_backend(backend.element()) || std::min({shape.m, shape.n, shape.k}) == 1;
}

const std::byte *data_of(const TestTensor &tensor, std::vector<uint8_t> &copy) {
    copy = tensor.bytes();
    return reinterpret_cast<const std::byte *>(copy.data());
}

/// Scratch memory as the layers give it.
std::byte *scratch_of(std::vector<std::byte> &storage, int64_t bytes) {
    storage.assign(static_cast<size_t>(bytes) + 64, std::byte{0xff}); // NaN, where it were read
    const auto address = reinterpret_cast<uintptr_t>(storage.data());
    return storage.data() + (64 - address % 64) % 64;
}

struct ProductCase {
    ProductShape shape;
    bool a_transposed;
    bool b_transposed;
    mezzo_dtype out;
    bool bias;
    bool relu;
    bool accumulate;
    int64_t gap = 0;  // elements between the rows of A and of B, or between their columns where transposed
    bool nan = false; // a NaN in the middle row of A
};

/// Rows as they lie in memory with a gap after each; NaN is in the gaps.
std::vector<double> with_gaps(const std::vector<double> &matrix, int64_t rows, int64_t columns, int64_t gap) {
    std::vector<double> result(static_cast<size_t>(rows * (columns + gap)), std::nan(""));
    for (int64_t row = 0; row < rows; ++row) {
        std::copy_n(matrix.begin() + row * columns, columns, result.begin() + row * (columns + gap));
    }
    return result;
}

/// A matrix of a test in memory, and the view of it that backends get.
class ProductOperand {
  public:
    ProductOperand(mezzo_dtype dtype, const std::vector<double> &matrix, int64_t rows, int64_t columns, bool transpose,
                   int64_t gap)
        : transposed_(transpose), stride_((transpose ? rows : columns) + gap) {
        const std::vector<double> values = transpose ? with_gaps(transposed(matrix, rows, columns), columns, rows, gap)
                                                     : with_gaps(matrix, rows, columns, gap);
        bytes_ = TestTensor(dtype, {static_cast<int64_t>(values.size())}, values).bytes();
    }

    MatrixView view() const {
        const auto *data = reinterpret_cast<const std::byte *>(bytes_.data());
        return transposed_ ? MatrixView{data, 1, stride_} : MatrixView{data, stride_, 1};
    }

  private:
    bool transposed_;
    int64_t stride_;
    std::vector<uint8_t> bytes_;
};

void expect_product(const ProductBackend &backend, const ProductCase &c) {
    const auto [m, n, k] = c.shape;
    const mezzo_dtype element = backend.element();
    const mezzo_dtype sum = arithmetic_of(element);
    std::vector<double> a = rounded(random_values(m * k, 1), element);
    if (c.nan) a[static_cast<size_t>(m / 2 * k + k / 2)] = std::nan("");
    const std::vector<double> b = rounded(random_values(k * n, 2), element);
    const std::vector<double> bias = rounded(random_values(n, 3), sum);
    // The rows of C lie apart, and what is between them must stay.
    const int64_t stride = n + 3;
    const std::vector<double> before = rounded(random_values(m * stride, 4), c.out);

    const Expected product = matmul(a, b, m, k, n);
    Expected expected{before, std::vector<double>(before.size())};
    for (int64_t i = 0; i < m * n; ++i) {
        const auto from = static_cast<size_t>(i);
        const auto to = static_cast<size_t>(i / n * stride + i % n);
        const double added = c.accumulate ? before[to] : c.bias ? bias[static_cast<size_t>(i % n)] : 0;
        expected.values[to] = product.values[from] + added;
        expected.magnitudes[to] = product.magnitudes[from] + std::abs(added);
        if (c.relu) expected.values[to] = relu(expected.values[to]);
    }

    std::vector<uint8_t> bias_bytes;
    const ProductOperand a_operand(element, a, m, k, c.a_transposed, c.gap);
    const ProductOperand b_operand(element, b, k, n, c.b_transposed, c.gap);
    const TestTensor bias_tensor(sum, {n}, bias);
    const TestTensor c_tensor(c.out, {m * stride}, before);
    std::vector<uint8_t> result = c_tensor.bytes();

    std::vector<std::byte> left_storage, right_storage;
    const auto left =
        backend.pack_left(a_operand.view(), m, k, scratch_of(left_storage, backend.left_bytes(c.a_transposed, m, k)));
    const auto right = backend.pack_right(b_operand.view(), k, n, scratch_of(right_storage, backend.right_bytes(k, n)));
    const ProductTarget target{.data = reinterpret_cast<std::byte *>(result.data()),
                               .row_stride = stride,
                               .dtype = c.out,
                               .bias = c.bias ? data_of(bias_tensor, bias_bytes) : nullptr,
                               .relu = c.relu,
                               .accumulate = c.accumulate};
    backend.multiply(target, left, right, c.shape, {});
    EXPECT_EQ(mezzo_tensor_write(c_tensor, result.data(), static_cast<int64_t>(result.size())), MEZZO_STATUS_OK);
    EXPECT_TRUE(is_near(c_tensor.values(), expected, {.stored = c.out, .arithmetic = sum, .operations = k + 1}))
        << backend.name() << " " << dtype_name(element) << " " << m << "x" << n << "x" << k << " transposed "
        << c.a_transposed << c.b_transposed << " out " << dtype_name(c.out) << " bias " << c.bias << " relu " << c.relu
        << " accumulate " << c.accumulate << " gap " << c.gap << " nan " << c.nan;
}

/// Every kind of product: a matrix, vectors and outer products of both directions, a single sum.
const std::vector<ProductShape> kKinds = {{21, 35, 19}, {1, 70, 19}, {70, 1, 19}, {30, 70, 1}, {1, 1, 300}, {1, 1, 1}};

TEST(Products, EachBackend_KeepsNanThroughReLU) {
    for (const ProductBackend *backend : backends()) {
        for (const ProductShape &shape : kKinds) {
            if (!takes(*backend, shape)) continue;
            for (const mezzo_dtype out : {backend->element(), arithmetic_of(backend->element())}) {
                for (const bool bias : {false, true}) {
                    expect_product(*backend, {.shape = shape,
                                              .a_transposed = false,
                                              .b_transposed = true,
                                              .out = out,
                                              .bias = bias,
                                              .relu = true,
                                              .accumulate = false,
                                              .nan = true});
                }
            }
        }
    }
}

TEST(Products, EachBackend_ReadsPartsOfWiderMatrices) {
    for (const ProductBackend *backend : backends()) {
        for (const ProductShape &shape : kKinds) {
            if (!takes(*backend, shape)) continue;
            for (const bool a_transposed : {false, true}) {
                for (const bool b_transposed : {false, true}) {
                    expect_product(*backend, {.shape = shape,
                                              .a_transposed = a_transposed,
                                              .b_transposed = b_transposed,
                                              .out = arithmetic_of(backend->element()),
                                              .bias = false,
                                              .relu = false,
                                              .accumulate = false,
                                              .gap = 5});
                }
            }
        }
    }
}

TEST(Products, EachBackend_MatchesOracle) {
    const std::vector<ProductShape> shapes = {{1, 1, 1},   {5, 80, 2},   {6, 64, 7},    {9, 48, 16},  {17, 31, 33},
                                              {3, 16, 5},  {40, 161, 9}, {150, 150, 8}, {1, 70, 19},  {70, 1, 19},
                                              {30, 70, 1}, {1, 300, 1},  {8, 97, 40},   {11, 250, 12}};
    for (const ProductBackend *backend : backends()) {
        const mezzo_dtype element = backend->element();
        for (const ProductShape &shape : shapes) {
            if (!takes(*backend, shape)) continue;
            for (const bool b_transposed : {false, true}) {
                for (const mezzo_dtype out : {element, arithmetic_of(element)}) {
                    expect_product(*backend, {shape, false, b_transposed, out, false, false, false});
                    expect_product(*backend, {shape, false, b_transposed, out, true, true, false});
                }
                for (const bool a_transposed : {false, true}) {
                    expect_product(*backend,
                                   {shape, a_transposed, b_transposed, arithmetic_of(element), false, false, true});
                }
            }
        }
    }
}

// -------------------------------------------------------------------------------------------------------
// The layer on each backend
// -------------------------------------------------------------------------------------------------------

TEST(Products, EachBackend_ServesTheLayer) {
    constexpr int64_t kRows = 70, kIn = 35, kOut = 21;
    Allocator &memory = require_device({}).memory();
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const auto data = [&](int64_t count, uint64_t seed) { return rounded(random_values(count, seed), dtype); };
        const std::vector<double> x = data(kRows * kIn, 1), w = data(kOut * kIn, 2), g = data(kRows * kOut, 3);
        for (const ProductBackend *backend : backends()) {
            const bool reads = backend->element() == dtype ||
                               (arithmetic_of(dtype) != dtype && backend->element() == arithmetic_of(dtype));
            if (!reads || !takes(*backend, {kRows, kOut, kIn})) continue;
            SCOPED_TRACE(std::string(backend->name()) + " for " + dtype_name(dtype));
            std::vector<uint8_t> x_bytes, w_bytes, g_bytes, bytes;
            const std::byte *x_data = data_of(TestTensor(dtype, {kRows, kIn}, x), x_bytes);
            const std::byte *w_data = data_of(TestTensor(dtype, {kOut, kIn}, w), w_bytes);
            data_of(TestTensor(dtype, {kRows, kOut}, g), g_bytes);
            const auto expect = [&](const auto &layer, const Shape &shape, const Expected &expected, int64_t terms) {
                run_linear(layer, *backend, memory);
                const TestTensor result(dtype, shape);
                EXPECT_EQ(mezzo_tensor_write(result, bytes.data(), static_cast<int64_t>(bytes.size())),
                          MEZZO_STATUS_OK);
                EXPECT_TRUE(is_near(result.values(), expected,
                                    {.stored = dtype, .arithmetic = arithmetic_of(dtype), .operations = terms + 1}));
            };
            const auto output = [&](const Shape &shape) {
                const int64_t elements = elements_of(shape);
                bytes.assign(static_cast<size_t>(elements * dtype_size(dtype)), 0);
                return TensorData(reinterpret_cast<std::byte *>(bytes.data()), dtype, elements);
            };
            LinearForward forward{};
            forward.sizes = {kRows, kIn, kOut};
            forward.dtype = dtype;
            forward.input = x_data;
            forward.weight = w_data;
            forward.out = output({kRows, kOut});
            expect(forward, {kRows, kOut}, matmul(x, transposed(w, kOut, kIn), kRows, kIn, kOut), kIn);

            LinearBackward backward{};
            backward.sizes = {kRows, kIn, kOut};
            backward.dtype = dtype;
            backward.grad_output = {reinterpret_cast<std::byte *>(g_bytes.data()), dtype, kRows * kOut};
            backward.input = x_data;
            backward.weight = w_data;
            backward.grad_input = output({kRows, kIn});
            expect(backward, {kRows, kIn}, matmul(g, w, kRows, kOut, kIn), kOut);
            backward.grad_input = {};
            backward.grad_weight = output({kOut, kIn});
            expect(backward, {kOut, kIn}, matmul(transposed(g, kRows, kOut), x, kOut, kRows, kIn), kRows);
        }
    }
}

} // namespace
} // namespace mezzo::testing
