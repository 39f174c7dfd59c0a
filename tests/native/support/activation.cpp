// SPDX-License-Identifier: MIT
#include "support/activation.h"

#include "support/every_device.h"
#include "support/oracle.h"
#include "support/status.h"

namespace mezzo::testing {
namespace {

// The functions are within 4.5 units in the last place, 9 roundings; a few more come from what is made of them.
constexpr int64_t kRoundings = 16;

double condition_of(const Activation &activation, double input) {
    return activation.condition == nullptr ? 1 : static_cast<double>(activation.condition(input));
}

Expected values_of(const Activation &activation, const std::vector<double> &inputs) {
    Expected expected;
    for (const double input : inputs) {
        expected.values.push_back(static_cast<double>(activation.value(input)));
        expected.magnitudes.push_back(std::abs(expected.values.back()) * condition_of(activation, input));
    }
    return expected;
}

/// Of the input of the forward pass, and where the output is saved, of what the forward pass has stored for it.
Expected gradients_of(const Activation &activation, const std::vector<double> &grad_output,
                      const std::vector<double> &saved) {
    Expected expected;
    for (size_t i = 0; i < saved.size(); ++i) {
        expected.values.push_back(static_cast<double>(grad_output[i] * activation.derivative(saved[i])));
        expected.magnitudes.push_back(static_cast<double>(std::abs(grad_output[i]) * activation.magnitude(saved[i])) *
                                      condition_of(activation, saved[i]));
    }
    return expected;
}

} // namespace

void expect_formulas(const Activation &activation) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const Roundings roundings = {dtype, arithmetic_of(dtype), kRoundings};
        for (const Shape &shape : elementwise_shapes()) {
            const int64_t elements = elements_of(shape);
            const TestTensor input = TestTensor::misaligned(dtype, shape, random_values(elements, 1, -8, 8));
            const TestTensor grad_output(dtype, shape, random_values(elements, 2));
            const TestTensor out(dtype, shape);
            const TestTensor grad_input(dtype, shape);
            ASSERT_OK(activation.forward(out, input));
            EXPECT_TRUE(is_near(out.values(), values_of(activation, input.values()), roundings));
            const TestTensor &saved = activation.from_output ? out : input;
            ASSERT_OK(activation.backward(grad_input, grad_output, saved));
            EXPECT_TRUE(is_near(grad_input.values(), gradients_of(activation, grad_output.values(), saved.values()),
                                roundings));
            ASSERT_OK(activation.backward(grad_output, grad_output, saved));
            EXPECT_EQ(grad_output.bytes(), grad_input.bytes()) << "in place";
            ASSERT_OK(activation.forward(input, input));
            EXPECT_EQ(input.bytes(), out.bytes()) << "in place";
        }
    }
}

void expect_formulas_of_special_values(const Activation &activation) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const Roundings roundings = {dtype, arithmetic_of(dtype), kRoundings};
        const std::vector<double> specials = special_values(dtype);
        const Shape shape = {static_cast<int64_t>(specials.size())};
        const TestTensor input(dtype, shape, specials);
        const TestTensor out(dtype, shape);
        ASSERT_OK(activation.forward(out, input));
        EXPECT_TRUE(is_near(out.values(), values_of(activation, specials), roundings));
        const std::vector<double> gradients(specials.size(), 1);
        const TestTensor grad_output(dtype, shape, gradients);
        const TestTensor &saved = activation.from_output ? out : input;
        ASSERT_OK(activation.backward(grad_output, grad_output, saved));
        EXPECT_TRUE(is_near(grad_output.values(), gradients_of(activation, gradients, saved.values()), roundings));
    }
}

void expect_gradient_of_finite_differences(const Activation &activation) {
    const std::vector<double> point = {-3, -1.25, -0.5, 0, 0.25, 0.75, 1.5, 4};
    const std::vector<double> weights = {3, -1, 2, 0.5, -2, 1, 4, -3};
    const Shape shape = {static_cast<int64_t>(point.size())};
    const std::vector<double> expected = finite_difference(
        [&](const std::vector<double> &values) {
            const TestTensor tensor(MEZZO_DTYPE_F64, shape, values);
            EXPECT_OK(activation.forward(tensor, tensor));
            const std::vector<double> outputs = tensor.values();
            double sum = 0;
            for (size_t i = 0; i < outputs.size(); ++i) sum += weights[i] * outputs[i];
            return sum;
        },
        point);
    const TestTensor input(MEZZO_DTYPE_F64, shape, point);
    const TestTensor out(MEZZO_DTYPE_F64, shape);
    const TestTensor gradient(MEZZO_DTYPE_F64, shape, weights);
    ASSERT_OK(activation.forward(out, input));
    ASSERT_OK(activation.backward(gradient, gradient, activation.from_output ? out : input));
    const std::vector<double> got = gradient.values();
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], finite_difference_tolerance(16));
}

void expect_same_bits(const Activation &activation) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const int64_t count : critical_counts()) {
            for (const auto &[at, beside] : {std::pair(3, 3), std::pair(1, 2)}) {
                expect_same_bits_on_every_device([&, at = at, beside = beside](Results &results) {
                    const std::vector<double> nothing(static_cast<size_t>(count), 0);
                    const Placed input(dtype, at, mixed_values(count, 1, dtype));
                    const Placed gradient(dtype, beside, mixed_values(count, 2, dtype));
                    const Placed out(dtype, at, nothing);
                    const Placed grad_input(dtype, at, nothing);
                    EXPECT_OK(activation.forward(out, input));
                    EXPECT_OK(activation.backward(grad_input, gradient, activation.from_output ? out : input));
                    for (const Placed *placed : {&out, &grad_input}) results.add(placed->whole);
                });
            }
        }
    }
}

void expect_refusals(const Activation &activation) {
    const std::string forward = activation.name + std::string("_forward: ");
    const std::string backward = activation.name + std::string("_backward: ");
    const std::string saved = activation.from_output ? "output" : "input";
    const TestTensor a(MEZZO_DTYPE_F32, {8});
    const TestTensor b(MEZZO_DTYPE_F32, {8});
    const TestTensor wide(MEZZO_DTYPE_F64, {8});
    const TestTensor shorter(MEZZO_DTYPE_F32, {7});
    const TestTensor integers(MEZZO_DTYPE_I64, {8});
    EXPECT_FAILS(activation.forward({}, a), INVALID_HANDLE, (forward + "out is the null tensor").c_str());
    EXPECT_FAILS(activation.forward(b, {}), INVALID_HANDLE, (forward + "input is the null tensor").c_str());
    EXPECT_FAILS(activation.forward(wide, a), DTYPE_MISMATCH, (forward + "out is f64[8], expected dtype f32").c_str());
    EXPECT_FAILS(activation.forward(shorter, a), SHAPE_MISMATCH, (forward + "out is f32[7], expected f32[8]").c_str());
    EXPECT_FAILS(activation.forward(integers, integers), DTYPE_MISMATCH,
                 (forward + "input is i64[8], expected dtype f64, f32, f16 or bf16").c_str());
    const TestTensor head = a.view(0, {4});
    const TestTensor middle = a.view(2, {4});
    EXPECT_FAILS(activation.forward(head, middle), INVALID_ARGUMENT,
                 (forward + "out shares memory with input, expected the same tensor or separate ones").c_str());
    EXPECT_FAILS(activation.backward({}, a, b), INVALID_HANDLE, (backward + "grad_input is the null tensor").c_str());
    EXPECT_FAILS(activation.backward(a, {}, b), INVALID_HANDLE, (backward + "grad_output is the null tensor").c_str());
    EXPECT_FAILS(activation.backward(a, b, {}), INVALID_HANDLE, (backward + saved + " is the null tensor").c_str());
    EXPECT_FAILS(activation.backward(a, a, shorter), SHAPE_MISMATCH,
                 (backward + saved + " is f32[7], expected f32[8]").c_str());
    EXPECT_FAILS(activation.backward(wide, a, b), DTYPE_MISMATCH,
                 (backward + "grad_input is f64[8], expected dtype f32").c_str());
    EXPECT_FAILS(activation.backward(b, a, b), INVALID_ARGUMENT,
                 (backward + "grad_input shares memory with " + saved + ", expected separate tensors").c_str());
}

} // namespace mezzo::testing
