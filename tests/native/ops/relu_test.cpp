// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/every_device.h"
#include "support/oracle.h"
#include "support/status.h"

namespace mezzo::testing {
namespace {

double rectified(double value) {
    return std::isnan(value) ? value : value > 0 ? value : 0.0;
}

std::vector<double> forward_reference(std::vector<double> values) {
    for (double &value : values) value = rectified(value);
    return values;
}

std::vector<double> backward_reference(std::vector<double> gradients, const std::vector<double> &outputs) {
    for (size_t i = 0; i < gradients.size(); ++i) {
        if (outputs[i] <= 0) gradients[i] = 0;
    }
    return gradients;
}

TEST(Relu, Forward_IsExactForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const TestTensor input = TestTensor::misaligned(dtype, shape, random_values(elements_of(shape), 1));
            const TestTensor out(dtype, shape);
            ASSERT_OK(mezzo_relu_forward(out, input));
            EXPECT_TRUE(is_identical(out.values(), forward_reference(input.values())));
        }
    }
}

TEST(Relu, Forward_KeepsNaNAndInfAndGivesPositiveZero) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const std::vector<double> specials = special_values(dtype);
        const TestTensor tensor(dtype, {static_cast<int64_t>(specials.size())}, specials);
        ASSERT_OK(mezzo_relu_forward(tensor, tensor));
        EXPECT_TRUE(is_identical(tensor.values(), forward_reference(specials)));
    }
}

TEST(Relu, Backward_IsExactForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const int64_t elements = elements_of(shape);
            const TestTensor grad_output = TestTensor::misaligned(dtype, shape, random_values(elements, 1));
            const TestTensor output(dtype, shape, random_values(elements, 2));
            const TestTensor grad_input(dtype, shape);
            ASSERT_OK(mezzo_relu_backward(grad_input, grad_output, output));
            const std::vector<double> expected = backward_reference(grad_output.values(), output.values());
            EXPECT_TRUE(is_identical(grad_input.values(), expected));
            ASSERT_OK(mezzo_relu_backward(grad_output, grad_output, output));
            EXPECT_TRUE(is_identical(grad_output.values(), expected)) << "in place";
        }
    }
}

TEST(Relu, Backward_LetsTheGradientThroughWhereTheOutputIsNaN) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const std::vector<double> outputs = special_values(dtype);
        const Shape shape = {static_cast<int64_t>(outputs.size())};
        const TestTensor output(dtype, shape, outputs);
        for (const double gradient : {-3.0, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
            const std::vector<double> gradients(outputs.size(), gradient);
            const TestTensor tensor(dtype, shape, gradients);
            ASSERT_OK(mezzo_relu_backward(tensor, tensor, output));
            EXPECT_TRUE(is_identical(tensor.values(), backward_reference(gradients, outputs)));
        }
    }
}

TEST(Relu, Backward_MatchesFiniteDifference) {
    const std::vector<double> point = {-1.5, -0.25, 0.25, 2};
    const std::vector<double> weights = {3, -1, 2, 0.5};
    const std::vector<double> expected = finite_difference(
        [&](const std::vector<double> &values) {
            const TestTensor tensor(MEZZO_DTYPE_F64, {4}, values);
            EXPECT_OK(mezzo_relu_forward(tensor, tensor));
            const std::vector<double> outputs = tensor.values();
            double sum = 0;
            for (size_t i = 0; i < outputs.size(); ++i) sum += weights[i] * outputs[i];
            return sum;
        },
        point);
    const TestTensor gradient(MEZZO_DTYPE_F64, {4}, weights);
    const TestTensor input(MEZZO_DTYPE_F64, {4}, point);
    ASSERT_OK(mezzo_relu_backward(gradient, gradient, input));
    const std::vector<double> got = gradient.values();
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], finite_difference_tolerance(4));
}

TEST(Relu, OnEveryDevice_GivesTheSameBits) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const int64_t count : critical_counts()) {
            for (const auto &[at, beside] : {std::pair(0, 0), std::pair(3, 3), std::pair(1, 2)}) {
                expect_same_bits_on_every_device([&, at = at, beside = beside](Results &results) {
                    const std::vector<double> nothing(static_cast<size_t>(count), 0);
                    const Placed input(dtype, at, mixed_values(count, 1, dtype));
                    const Placed gradient(dtype, beside, mixed_values(count, 2, dtype));
                    const Placed out(dtype, at, nothing);
                    const Placed grad_input(dtype, at, nothing);
                    EXPECT_OK(mezzo_relu_forward(out, input));
                    EXPECT_OK(mezzo_relu_backward(grad_input, gradient, out));
                    EXPECT_OK(mezzo_relu_forward(input, input));
                    EXPECT_OK(mezzo_relu_backward(gradient, gradient, out));
                    for (const Placed *placed : {&input, &gradient, &out, &grad_input}) results.add(placed->whole);
                });
            }
        }
    }
}

TEST(Relu, RejectsBadArguments) {
    const TestTensor a(MEZZO_DTYPE_F32, {8});
    const TestTensor b(MEZZO_DTYPE_F32, {8});
    const TestTensor wide(MEZZO_DTYPE_F64, {8});
    const TestTensor shorter(MEZZO_DTYPE_F32, {7});
    const TestTensor integers(MEZZO_DTYPE_I64, {8});
    EXPECT_FAILS(mezzo_relu_forward({}, a), INVALID_HANDLE, "relu_forward: out is the null tensor");
    EXPECT_FAILS(mezzo_relu_forward(b, {}), INVALID_HANDLE, "relu_forward: input is the null tensor");
    EXPECT_FAILS(mezzo_relu_forward(wide, a), DTYPE_MISMATCH, "relu_forward: out is f64[8], expected dtype f32");
    EXPECT_FAILS(mezzo_relu_forward(shorter, a), SHAPE_MISMATCH, "relu_forward: out is f32[7], expected f32[8]");
    EXPECT_FAILS(mezzo_relu_forward(integers, integers), DTYPE_MISMATCH,
                 "relu_forward: input is i64[8], expected dtype f64, f32, f16 or bf16");
    const TestTensor head = a.view(0, {4});
    const TestTensor middle = a.view(2, {4});
    EXPECT_FAILS(mezzo_relu_forward(head, middle), INVALID_ARGUMENT,
                 "relu_forward: out shares memory with input, expected the same tensor or separate ones");
    EXPECT_FAILS(mezzo_relu_backward({}, a, b), INVALID_HANDLE, "relu_backward: grad_input is the null tensor");
    EXPECT_FAILS(mezzo_relu_backward(a, {}, b), INVALID_HANDLE, "relu_backward: grad_output is the null tensor");
    EXPECT_FAILS(mezzo_relu_backward(a, b, {}), INVALID_HANDLE, "relu_backward: output is the null tensor");
    EXPECT_FAILS(mezzo_relu_backward(a, a, shorter), SHAPE_MISMATCH,
                 "relu_backward: output is f32[7], expected f32[8]");
    EXPECT_FAILS(mezzo_relu_backward(wide, a, b), DTYPE_MISMATCH,
                 "relu_backward: grad_input is f64[8], expected dtype f32");
    EXPECT_FAILS(mezzo_relu_backward(b, a, b), INVALID_ARGUMENT,
                 "relu_backward: grad_input shares memory with output, expected separate tensors");
}

} // namespace
} // namespace mezzo::testing
