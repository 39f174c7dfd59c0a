// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <numeric>

#include "support/every_device.h"
#include "support/graph.h"
#include "support/oracle.h"
#include "support/status.h"

namespace mezzo::testing {
namespace {

/// Shapes to be joined along a dimension.
struct Case {
    std::vector<Shape> inputs;
    int32_t dim;

    Shape joined() const {
        Shape shape = inputs.front();
        auto &extent = shape[static_cast<size_t>(dim)];
        extent = 0;
        for (const Shape &input : inputs) extent += input[static_cast<size_t>(dim)];
        return shape;
    }
};

const std::vector<Case> kCases = {
    {{{1}}, 0},
    {{{5}, {1}, {7}}, 0},
    {{{3, 4}, {2, 4}}, 0},
    {{{3, 4}, {3, 1}, {3, 9}}, 1},
    {{{64, 32}, {64, 96}}, 1},
    {{{2, 3, 5}, {2, 1, 5}, {2, 6, 5}}, 1},
    {{{2, 3, 1, 5}, {2, 3, 1, 2}}, 3},
    {{{700, 33}, {700, 31}}, 1},
    {{{1, 40000}, {2, 40000}}, 0},
};

/// Each element by its indices: what comes before `dim`, the index there, what follows.
std::vector<double> joined(const std::vector<std::vector<double>> &inputs, const Case &c) {
    const auto dim = static_cast<size_t>(c.dim);
    const Shape whole = c.joined();
    int64_t before = 1;
    int64_t after = 1;
    for (size_t i = 0; i < whole.size(); ++i) {
        if (i < dim) before *= whole[i];
        if (i > dim) after *= whole[i];
    }
    std::vector<double> out;
    for (int64_t row = 0; row < before; ++row) {
        for (size_t k = 0; k < inputs.size(); ++k) {
            for (int64_t j = 0; j < c.inputs[k][dim]; ++j) {
                for (int64_t i = 0; i < after; ++i) {
                    out.push_back(inputs[k].at(static_cast<size_t>((row * c.inputs[k][dim] + j) * after + i)));
                }
            }
        }
    }
    return out;
}

std::vector<mezzo_tensor> handles(const std::vector<TestTensor> &tensors) {
    return {tensors.begin(), tensors.end()};
}

TEST(Concat, ForwardAndBackward_AreExactForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kDTypes) {
        for (const Case &c : kCases) {
            for (const bool misaligned : {false, true}) {
                std::vector<TestTensor> inputs;
                std::vector<std::vector<double>> values;
                for (const Shape &shape : c.inputs) {
                    const auto numbers = rounded(random_values(elements_of(shape), inputs.size() + 1, 0, 200), dtype);
                    inputs.push_back(misaligned ? TestTensor::misaligned(dtype, shape, numbers)
                                                : TestTensor(dtype, shape, numbers));
                    values.push_back(inputs.back().values());
                }
                const TestTensor out(dtype, c.joined());
                const auto count = static_cast<int32_t>(inputs.size());
                ASSERT_OK(mezzo_concat_forward(out, handles(inputs).data(), count, c.dim));
                EXPECT_TRUE(is_identical(out.values(), joined(values, c)));

                int64_t start = 0;
                for (size_t k = 0; k < inputs.size(); ++k) {
                    const TestTensor part(dtype, c.inputs[k]);
                    ASSERT_OK(mezzo_concat_backward(part, out, c.dim, start));
                    EXPECT_TRUE(is_identical(part.values(), values[k]));
                    start += c.inputs[k][static_cast<size_t>(c.dim)];
                }
            }
        }
    }
}

TEST(Concat, OnEveryDevice_GivesTheSameBitsAndWritesNothingBeside) {
    for (const mezzo_dtype dtype : {MEZZO_DTYPE_BF16, MEZZO_DTYPE_F32, MEZZO_DTYPE_U8}) {
        for (const int64_t width : {7, 8, 160}) {
            for (const int64_t at : {0, 1, 4}) {
                expect_same_bits_on_every_device([&](Results &results) {
                    const Placed a(dtype, at, random_values(9 * width, 1, 0, 100));
                    const Placed b(dtype, 0, random_values(9 * 8, 2, 0, 100));
                    const Placed out(dtype, at, std::vector<double>(static_cast<size_t>(9 * (width + 8)), 0));
                    const TestTensor a_rows = a.view.view(0, {9, width});
                    const TestTensor b_rows = b.view.view(0, {9, 8});
                    const TestTensor out_rows = out.view.view(0, {9, width + 8});
                    const mezzo_tensor inputs[] = {a_rows, b_rows};
                    EXPECT_OK(mezzo_concat_forward(out_rows, inputs, 2, 1));
                    EXPECT_OK(mezzo_concat_backward(a_rows, out_rows, 1, 8));
                    for (const Placed *placed : {&a, &b, &out}) results.add(placed->whole);
                });
            }
        }
    }
}

TEST(Concat, InACapture_CopiesWhatIsThereThen) {
    const TestTensor a(MEZZO_DTYPE_F32, {2}, {1, 2});
    const TestTensor b(MEZZO_DTYPE_F32, {1}, {3});
    const TestTensor out(MEZZO_DTYPE_F32, {3});
    const TestGraph recorded([&] {
        const mezzo_tensor inputs[] = {a, b};
        ASSERT_OK(mezzo_concat_forward(out, inputs, 2, 0));
    });
    a.write({4, 5});
    recorded.launch();
    EXPECT_EQ(out.values(), (std::vector<double>{4, 5, 3}));
}

TEST(Concat, RejectsBadArguments) {
    const TestTensor a(MEZZO_DTYPE_F32, {2, 3});
    const TestTensor b(MEZZO_DTYPE_F32, {2, 1});
    const TestTensor half(MEZZO_DTYPE_F16, {2, 1});
    const TestTensor flat(MEZZO_DTYPE_F32, {2});
    const TestTensor out(MEZZO_DTYPE_F32, {2, 4});
    const TestTensor scalar = TestTensor::scalar(MEZZO_DTYPE_F32, 1);
    const auto forward = [&](const TestTensor &to, const TestTensor &first, const TestTensor &second, int32_t dim) {
        const mezzo_tensor inputs[] = {first, second};
        return mezzo_concat_forward(to, inputs, 2, dim);
    };
    EXPECT_FAILS(mezzo_concat_forward(out, nullptr, 0, 1), INVALID_ARGUMENT,
                 "concat_forward: count is 0, expected at least 1");
    EXPECT_FAILS(forward(out, a, {}, 1), INVALID_HANDLE, "concat_forward: inputs[1] is the null tensor");
    EXPECT_FAILS(forward(out, a, b, 2), INVALID_ARGUMENT,
                 "concat_forward: dim is 2, expected a dimension of out, which is f32[2,4]");
    EXPECT_FAILS(forward(out, a, b, -1), INVALID_ARGUMENT,
                 "concat_forward: dim is -1, expected a dimension of out, which is f32[2,4]");
    EXPECT_FAILS(forward(scalar, a, b, 0), INVALID_ARGUMENT,
                 "concat_forward: dim is 0, expected a dimension of out, which is f32[]");
    EXPECT_FAILS(forward(out, a, half, 1), DTYPE_MISMATCH, "concat_forward: inputs[1] is f16[2,1], expected dtype f32");
    EXPECT_FAILS(forward(out, a, flat, 1), SHAPE_MISMATCH,
                 "concat_forward: inputs[1] is f32[2], expected the shape of out, which is f32[2,4], but for "
                 "dimension 1");
    EXPECT_FAILS(forward(out, a, a, 1), SHAPE_MISMATCH,
                 "concat_forward: out is f32[2,4], expected 6, the sum of the inputs' extents, in dimension 1");
    const TestTensor part = out.view(0, {2, 3});
    EXPECT_FAILS(forward(out, part, b, 1), INVALID_ARGUMENT,
                 "concat_forward: out shares memory with inputs[0], expected separate tensors");
    EXPECT_FAILS(mezzo_concat_backward(a, out, 1, 2), INVALID_ARGUMENT,
                 "concat_backward: start is 2, expected 0 to 1, for grad_input is f32[2,3] and grad_output f32[2,4]");
    EXPECT_FAILS(mezzo_concat_backward(a, out, 1, -1), INVALID_ARGUMENT,
                 "concat_backward: start is -1, expected 0 to 1, for grad_input is f32[2,3] and grad_output f32[2,4]");
    EXPECT_FAILS(mezzo_concat_backward(half, out, 1, 0), DTYPE_MISMATCH,
                 "concat_backward: grad_input is f16[2,1], expected dtype f32");
}

} // namespace
} // namespace mezzo::testing
