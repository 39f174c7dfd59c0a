// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/every_device.h"
#include "support/graph.h"
#include "support/linear.h"
#include "support/status.h"
#include "support/thread_counts.h"

namespace mezzo::testing {
namespace {

struct Case {
    int64_t m, n, k;
    Shape batch = {};
    bool a_repeats = false;
    bool b_repeats = false;
    bool sums = false;
    bool a_transposed = false;
    bool b_transposed = false;
    bool accumulate = false;
    bool misaligned = false;

    int64_t members() const { return elements_of(batch); }
};

std::string text(const Case &c, mezzo_dtype dtype, mezzo_dtype out) {
    std::string batch;
    for (const int64_t dim : c.batch) batch += std::to_string(dim) + ",";
    return "dtype " + std::to_string(dtype) + " out " + std::to_string(out) + " m " + std::to_string(c.m) + " n " +
           std::to_string(c.n) + " k " + std::to_string(c.k) + " batch " + batch + " repeats " +
           std::to_string(c.a_repeats) + std::to_string(c.b_repeats) + " sums " + std::to_string(c.sums) +
           " transposed " + std::to_string(c.a_transposed) + std::to_string(c.b_transposed) + " accumulate " +
           std::to_string(c.accumulate);
}

mezzo_matmul_desc desc_of(const Case &c) {
    return {sizeof(mezzo_matmul_desc), c.a_transposed ? 1u : 0u, c.b_transposed ? 1u : 0u, c.accumulate ? 1u : 0u, 0};
}

Shape shape_of(const Shape &batch, int64_t rows, int64_t columns, bool transposed) {
    Shape shape = batch;
    shape.push_back(transposed ? columns : rows);
    shape.push_back(transposed ? rows : columns);
    return shape;
}

TestTensor tensor_of(const Case &c, mezzo_dtype dtype, const Shape &shape, uint64_t seed) {
    const auto values = random_rounded(elements_of(shape), seed, dtype);
    return c.misaligned ? TestTensor::misaligned(dtype, shape, values) : TestTensor(dtype, shape, values);
}

/// Member `index` of a batch of matrices, as [rows, columns].
std::vector<double> member(const TestTensor &tensor, int64_t index, int64_t rows, int64_t columns, bool repeats,
                           bool is_transposed) {
    const std::vector<double> all = tensor.values();
    const auto first = all.begin() + (repeats ? 0 : index * rows * columns);
    const std::vector<double> one(first, first + rows * columns);
    return is_transposed ? transposed(one, columns, rows) : one;
}

void expect_product(const Case &c, mezzo_dtype dtype, mezzo_dtype out_dtype) {
    SCOPED_TRACE(text(c, dtype, out_dtype));
    const TestTensor a = tensor_of(c, dtype, shape_of(c.a_repeats ? Shape{} : c.batch, c.m, c.k, c.a_transposed), 1);
    const TestTensor b = tensor_of(c, dtype, shape_of(c.b_repeats ? Shape{} : c.batch, c.k, c.n, c.b_transposed), 2);
    const TestTensor out = tensor_of(c, out_dtype, shape_of(c.sums ? Shape{} : c.batch, c.m, c.n, false), 3);

    Expected expected;
    for (int64_t i = 0; i < c.members(); ++i) {
        const Expected product = matmul(member(a, i, c.m, c.k, c.a_repeats, c.a_transposed),
                                        member(b, i, c.k, c.n, c.b_repeats, c.b_transposed), c.m, c.k, c.n);
        if (c.sums && i > 0) {
            for (size_t j = 0; j < product.values.size(); ++j) {
                expected.values[j] += product.values[j];
                expected.magnitudes[j] += product.magnitudes[j];
            }
        } else {
            expected.values.insert(expected.values.end(), product.values.begin(), product.values.end());
            expected.magnitudes.insert(expected.magnitudes.end(), product.magnitudes.begin(), product.magnitudes.end());
        }
    }
    if (c.accumulate) expected = plus(expected, out.values());
    const mezzo_matmul_desc desc = desc_of(c);
    ASSERT_OK(mezzo_matmul_forward(out, a, b, &desc));
    const int64_t terms = c.k * (c.sums ? c.members() : 1);
    EXPECT_TRUE(is_near(out.values(), expected, {out_dtype, arithmetic_of(dtype), terms + 1}));
}

const std::vector<Case> kCases = {
    {1, 1, 1},
    {7, 5, 3},
    {1, 40, 33},
    {40, 1, 33},
    {33, 17, 1},
    {65, 70, 130},
    {20, 330, 500},
    {5, 6, 7, {3}},
    {33, 20, 40, {2, 2}},
    {1, 9, 4, {5}},
    {9, 12, 8, {3}, true, false},
    {9, 12, 8, {3}, false, true},
    {9, 12, 8, {3}, false, false, true},
    {1, 12, 8, {3}, false, false, true},
    {40, 33, 500, {2}, false, false, true},
};

TEST(Matmul, Forward_EachTransposition_MatchesOracle) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (Case c : kCases) {
            for (const int transpositions : {0, 1, 2, 3}) {
                c.a_transposed = (transpositions & 1) != 0;
                c.b_transposed = (transpositions & 2) != 0;
                expect_product(c, dtype, dtype);
            }
        }
    }
}

TEST(Matmul, Forward_AddsToWhatIsThere) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const mezzo_dtype out : dtypes_beside(dtype)) {
            for (Case c : {Case{7, 5, 3}, Case{20, 330, 500}, Case{9, 12, 8, {3}}, Case{9, 12, 8, {3}, true},
                           Case{9, 12, 8, {3}, false, false, true}}) {
                c.accumulate = true;
                expect_product(c, dtype, out);
                c.misaligned = true;
                c.a_transposed = true;
                expect_product(c, dtype, out);
            }
        }
    }
}

TEST(Matmul, Forward_HalvesMayGiveF32) {
    for (const mezzo_dtype dtype : kHalves) {
        for (Case c : {Case{7, 5, 3}, Case{33, 20, 40, {2}}, Case{9, 12, 8, {3}, false, false, true}}) {
            expect_product(c, dtype, MEZZO_DTYPE_F32);
            c.misaligned = true;
            expect_product(c, dtype, MEZZO_DTYPE_F32);
        }
    }
}

TEST(Matmul, Forward_EachNumberOfThreads_MatchesOracleOnCpu) {
    for (const int threads : {1, 2, 3, 8}) {
        const ThreadScope scope(threads);
        expect_product({70, 90, 64, {3}}, MEZZO_DTYPE_F32, MEZZO_DTYPE_F32);
        expect_product({300, 90, 64}, MEZZO_DTYPE_BF16, MEZZO_DTYPE_BF16);
        expect_product({9, 400, 64}, MEZZO_DTYPE_F16, MEZZO_DTYPE_F16);
    }
}

TEST(Matmul, Forward_InfAndNaNStayInTheirRowsAndColumns) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const TestTensor a(dtype, {2, 2}, {1, INFINITY, 2, 3});
        const TestTensor b(dtype, {2, 2}, {1, 2, 3, NAN});
        const TestTensor out(dtype, {2, 2});
        ASSERT_OK(mezzo_matmul_forward(out, a, b, nullptr));
        EXPECT_TRUE(is_identical(out.values(), {INFINITY, NAN, 11, NAN}));
    }
}

TEST(Matmul, InACapture_MultipliesWhatIsThereThen) {
    const TestTensor a(MEZZO_DTYPE_F32, {2, 1, 2}, {1, 2, 3, 4});
    const TestTensor b(MEZZO_DTYPE_F32, {2, 2, 1}, {1, 1, 1, 1});
    const TestTensor out(MEZZO_DTYPE_F32, {1, 1});
    const TestGraph recorded([&] { ASSERT_OK(mezzo_matmul_forward(out, a, b, nullptr)); });
    b.write({1, 2, 3, 4});
    recorded.launch();
    EXPECT_EQ(out.item(), 1 + 4 + 9 + 16);
}

TEST(Matmul, RejectsBadArguments) {
    const TestTensor a(MEZZO_DTYPE_F32, {2, 3});
    const TestTensor b(MEZZO_DTYPE_F32, {3, 4});
    const TestTensor out(MEZZO_DTYPE_F32, {2, 4});
    const TestTensor half(MEZZO_DTYPE_F16, {3, 4});
    const TestTensor flat(MEZZO_DTYPE_F32, {3});
    const TestTensor integers(MEZZO_DTYPE_I64, {2, 3});
    const TestTensor two(MEZZO_DTYPE_F32, {2, 2, 3});
    const TestTensor three(MEZZO_DTYPE_F32, {3, 3, 4});
    EXPECT_FAILS(mezzo_matmul_forward(out, {}, b, nullptr), INVALID_HANDLE, "matmul_forward: a is the null tensor");
    EXPECT_FAILS(mezzo_matmul_forward(out, integers, b, nullptr), DTYPE_MISMATCH,
                 "matmul_forward: a is i64[2,3], expected dtype f64, f32, f16 or bf16");
    EXPECT_FAILS(mezzo_matmul_forward(out, a, half, nullptr), DTYPE_MISMATCH,
                 "matmul_forward: b is f16[3,4], expected dtype f32");
    EXPECT_FAILS(mezzo_matmul_forward(out, a, flat, nullptr), SHAPE_MISMATCH,
                 "matmul_forward: b is f32[3], expected at least two dimensions");
    EXPECT_FAILS(mezzo_matmul_forward(out, a, a, nullptr), SHAPE_MISMATCH,
                 "matmul_forward: b is f32[2,3], expected 3 in its last dimension but one, for a is f32[2,3]");
    const mezzo_matmul_desc transposed{sizeof(mezzo_matmul_desc), 0, 1, 0, 0};
    EXPECT_FAILS(mezzo_matmul_forward(out, a, b, &transposed), SHAPE_MISMATCH,
                 "matmul_forward: b is f32[3,4], expected 3 in its last dimension, for a is f32[2,3]");
    EXPECT_FAILS(mezzo_matmul_forward(out, two, three, nullptr), SHAPE_MISMATCH,
                 "matmul_forward: b is f32[3,3,4], expected the batch of a, which is f32[2,2,3], or none");
    EXPECT_FAILS(mezzo_matmul_forward(out, two, b, nullptr), SHAPE_MISMATCH,
                 "matmul_forward: out is f32[2,4], expected f32[2,2,4]");
    EXPECT_FAILS(mezzo_matmul_forward(a, a, b, nullptr), SHAPE_MISMATCH,
                 "matmul_forward: out is f32[2,3], expected f32[2,4]");
    const TestTensor square(MEZZO_DTYPE_F32, {2, 2});
    EXPECT_FAILS(mezzo_matmul_forward(square, square, square, nullptr), INVALID_ARGUMENT,
                 "matmul_forward: out shares memory with a, expected separate tensors");
    const mezzo_matmul_desc wrong{sizeof(mezzo_matmul_desc), 2, 0, 0, 0};
    EXPECT_FAILS(mezzo_matmul_forward(out, a, b, &wrong), INVALID_ARGUMENT,
                 "matmul_forward: desc.a_transposed is 2, expected 0 or 1");
}

} // namespace
} // namespace mezzo::testing
