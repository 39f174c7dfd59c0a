// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/every_device.h"
#include "support/graph.h"
#include "support/linear.h"
#include "support/status.h"

namespace mezzo::testing {
namespace {

struct Case {
    int64_t rows;
    int64_t features;
    Shape indices;
};

const std::vector<Case> kCases = {{1, 1, {}},      {5, 3, {7}},      {130, 8, {2, 33}},
                                  {64, 17, {300}}, {700, 1, {2000}}, {3, 300, {5, 1, 9}}};

/// Numbers below `rows`, a few of them often.
std::vector<double> some_indices(const Case &c, uint64_t seed) {
    std::vector<double> indices = random_values(elements_of(c.indices), seed, 0, 1);
    for (double &index : indices) index = std::floor(index * index * static_cast<double>(c.rows));
    return indices;
}

Shape with_features(const Case &c) {
    Shape shape = c.indices;
    shape.push_back(c.features);
    return shape;
}

TEST(Embedding, Forward_IsExactForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const mezzo_dtype index_dtype : {MEZZO_DTYPE_I32, MEZZO_DTYPE_I64}) {
            for (const Case &c : kCases) {
                const TestTensor weight =
                    TestTensor::misaligned(dtype, {c.rows, c.features}, random_values(c.rows * c.features, 1));
                const TestTensor indices(index_dtype, c.indices, some_indices(c, 2));
                const TestTensor out(dtype, with_features(c));
                ASSERT_OK(mezzo_embedding_forward(out, weight, indices));
                std::vector<double> expected;
                const std::vector<double> table = weight.values();
                for (const double index : indices.values()) {
                    const auto first = table.begin() + static_cast<int64_t>(index) * c.features;
                    expected.insert(expected.end(), first, first + c.features);
                }
                EXPECT_TRUE(is_identical(out.values(), expected));
            }
        }
    }
}

TEST(Embedding, Backward_AddsTheRowsOfAnIndex) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const mezzo_dtype weight_dtype : dtypes_beside(dtype)) {
            for (const Case &c : kCases) {
                for (const bool accumulate : {false, true}) {
                    const int64_t padding = accumulate && c.rows > 2 ? 1 : -1;
                    const TestTensor indices(MEZZO_DTYPE_I64, c.indices, some_indices(c, 2));
                    const TestTensor grad_output(dtype, with_features(c),
                                                 random_values(elements_of(with_features(c)), 3));
                    const TestTensor grad_weight(weight_dtype, {c.rows, c.features},
                                                 random_values(c.rows * c.features, 4));
                    const size_t elements = static_cast<size_t>(c.rows * c.features);
                    Expected expected{std::vector<double>(elements), std::vector<double>(elements)};
                    if (accumulate) {
                        expected.values = grad_weight.values();
                        for (size_t i = 0; i < elements; ++i) expected.magnitudes[i] = std::abs(expected.values[i]);
                    }
                    const std::vector<double> terms = grad_output.values();
                    int64_t position = 0;
                    for (const double index : indices.values()) {
                        for (int64_t j = 0; j < c.features; ++j) {
                            const auto to = static_cast<size_t>(static_cast<int64_t>(index) * c.features + j);
                            const double term = terms[static_cast<size_t>(position * c.features + j)];
                            if (static_cast<int64_t>(index) == padding) continue;
                            expected.values[to] += term;
                            expected.magnitudes[to] += std::abs(term);
                        }
                        ++position;
                    }
                    const mezzo_embedding_desc desc{sizeof(desc), accumulate ? 1u : 0u, padding};
                    ASSERT_OK(mezzo_embedding_backward(grad_weight, grad_output, indices, &desc));
                    const int64_t roundings = weight_dtype == MEZZO_DTYPE_F64 ? elements_of(c.indices) + 1 : 1;
                    EXPECT_TRUE(is_near(grad_weight.values(), expected,
                                        {weight_dtype, arithmetic_of(weight_dtype), roundings}));
                }
            }
        }
    }
}

TEST(Embedding, OnEveryDevice_GivesTheSameBits) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Case &c : {Case{130, 8, {2, 33}}, Case{64, 17, {600}}, Case{3, 300, {5, 1, 9}}}) {
            for (const int64_t at : {0, 1}) {
                expect_same_bits_on_every_device([&](Results &results) {
                    const Placed weight(dtype, at, mixed_values(c.rows * c.features, 1, dtype));
                    const int64_t count = elements_of(with_features(c));
                    const Placed out(dtype, at, std::vector<double>(static_cast<size_t>(count), 0));
                    const TestTensor matrix = weight.view.view(0, {c.rows, c.features});
                    const TestTensor rows = out.view.view(0, with_features(c));
                    const TestTensor indices(MEZZO_DTYPE_I32, c.indices, some_indices(c, 2));
                    EXPECT_OK(mezzo_embedding_forward(rows, matrix, indices));
                    EXPECT_OK(mezzo_embedding_backward(matrix, rows, indices, nullptr));
                    for (const Placed *placed : {&weight, &out}) results.add(placed->whole);
                });
            }
        }
    }
}

TEST(Embedding, IndexOutOfRange_IsAnErrorOnCpuAndNaNElsewhere) {
    const bool on_cpu = test_device().type == MEZZO_DEVICE_TYPE_CPU;
    for (const double wrong : {-1.0, 3.0, 4294967296.0}) {
        for (const mezzo_dtype dtype : kFloatingDTypes) {
            // Rows of another matrix lie before and behind.
            const TestTensor around(dtype, {5, 2}, {8, 8, 1, 2, 3, 4, 5, 6, 9, 9});
            const TestTensor weight = around.view(2, {3, 2});
            const TestTensor indices(MEZZO_DTYPE_I64, {3}, {2, wrong, 0});
            const TestTensor out(dtype, {3, 2}, {7, 7, 7, 7, 7, 7});
            const TestTensor gradient(dtype, {3, 2}, {7, 7, 7, 7, 7, 7});
            if (on_cpu) {
                const std::string error =
                    "indices[1] is " + std::to_string(static_cast<int64_t>(wrong)) + ", expected 0 to 2";
                EXPECT_FAILS(mezzo_embedding_forward(out, weight, indices), INVALID_ARGUMENT,
                             ("embedding_forward: " + error).c_str());
                EXPECT_FAILS(mezzo_embedding_backward(gradient, out, indices, nullptr), INVALID_ARGUMENT,
                             ("embedding_backward: " + error).c_str());
                EXPECT_EQ(out.values(), std::vector<double>(6, 7));
                EXPECT_EQ(gradient.values(), std::vector<double>(6, 7));
            } else {
                ASSERT_OK(mezzo_embedding_forward(out, weight, indices));
                EXPECT_TRUE(is_identical(out.values(), {5, 6, NAN, NAN, 1, 2}));
                ASSERT_OK(mezzo_embedding_backward(gradient, out, indices, nullptr));
                EXPECT_TRUE(is_identical(gradient.values(), {1, 2, 0, 0, 5, 6}));
            }
        }
    }
}

TEST(Embedding, InACapture_ReadsTheIndicesOfThen) {
    const TestTensor weight(MEZZO_DTYPE_F32, {3, 1}, {1, 2, 3});
    const TestTensor indices(MEZZO_DTYPE_I32, {2}, {0, 0});
    const TestTensor out(MEZZO_DTYPE_F32, {2, 1});
    const TestTensor gradient(MEZZO_DTYPE_F32, {3, 1});
    const TestGraph recorded([&] {
        ASSERT_OK(mezzo_embedding_forward(out, weight, indices));
        ASSERT_OK(mezzo_embedding_backward(gradient, out, indices, nullptr));
    });
    indices.write({2, 1});
    recorded.launch();
    EXPECT_EQ(out.values(), (std::vector<double>{3, 2}));
    EXPECT_EQ(gradient.values(), (std::vector<double>{0, 2, 3}));
}

TEST(Embedding, RejectsBadArguments) {
    const TestTensor weight(MEZZO_DTYPE_F32, {3, 2});
    const TestTensor indices(MEZZO_DTYPE_I64, {4}, {0, 1, 2, 0});
    const TestTensor out(MEZZO_DTYPE_F32, {4, 2});
    const TestTensor half(MEZZO_DTYPE_F16, {4, 2});
    const TestTensor flat(MEZZO_DTYPE_F32, {6});
    const TestTensor bytes(MEZZO_DTYPE_U8, {4});
    EXPECT_FAILS(mezzo_embedding_forward(out, weight, {}), INVALID_HANDLE,
                 "embedding_forward: indices is the null tensor");
    EXPECT_FAILS(mezzo_embedding_forward(out, weight, bytes), DTYPE_MISMATCH,
                 "embedding_forward: indices is u8[4], expected dtype i32 or i64");
    EXPECT_FAILS(mezzo_embedding_forward(out, flat, indices), SHAPE_MISMATCH,
                 "embedding_forward: weight is f32[6], expected [rows, features]");
    EXPECT_FAILS(mezzo_embedding_forward(half, weight, indices), DTYPE_MISMATCH,
                 "embedding_forward: out is f16[4,2], expected dtype f32");
    EXPECT_FAILS(mezzo_embedding_forward(weight, weight, indices), SHAPE_MISMATCH,
                 "embedding_forward: out is f32[3,2], expected f32[4,2]");
    const TestTensor half_weight(MEZZO_DTYPE_F16, {3, 2});
    EXPECT_FAILS(mezzo_embedding_backward(half_weight, out, indices, nullptr), DTYPE_MISMATCH,
                 "embedding_backward: grad_weight is f16[3,2], expected dtype f32");
    mezzo_embedding_desc desc{sizeof(desc), 0, 3};
    EXPECT_FAILS(mezzo_embedding_backward(weight, out, indices, &desc), INVALID_ARGUMENT,
                 "embedding_backward: desc.padding_index is 3, expected -1 to 2");
    desc = {sizeof(desc), 2, -1};
    EXPECT_FAILS(mezzo_embedding_backward(weight, out, indices, &desc), INVALID_ARGUMENT,
                 "embedding_backward: desc.accumulate is 2, expected 0 or 1");
}

} // namespace
} // namespace mezzo::testing
