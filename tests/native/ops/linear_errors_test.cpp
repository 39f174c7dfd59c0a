// SPDX-License-Identifier: MIT
// What linear answers to wrong arguments.
#include <mezzo/ops.h>

#include "support/enum.h"
#include "support/status.h"
#include "support/tensor.h"

#include <gtest/gtest.h>

namespace mezzo::testing {
namespace {

mezzo_linear_desc linear_desc(mezzo_activation activation, uint32_t accumulate = MEZZO_LINEAR_ACCUMULATE_NONE) {
    return {sizeof(mezzo_linear_desc), activation, accumulate, 0, MEZZO_ACTIVATION_NONE};
}

/// A layer that is right in all but what a test changes.
struct LinearErrors : ::testing::Test {
    TestTensor input{MEZZO_DTYPE_BF16, {6, 3}};
    TestTensor weight{MEZZO_DTYPE_BF16, {4, 3}};
    TestTensor bias{MEZZO_DTYPE_F32, {4}};
    TestTensor out{MEZZO_DTYPE_BF16, {6, 4}};
    TestTensor grad_output{MEZZO_DTYPE_BF16, {6, 4}};
    TestTensor grad_input{MEZZO_DTYPE_BF16, {6, 3}};
    TestTensor grad_weight{MEZZO_DTYPE_F32, {4, 3}};
    TestTensor grad_bias{MEZZO_DTYPE_F32, {4}};
    TestTensor grad_input_sum{MEZZO_DTYPE_F32, {3}};
};

TEST_F(LinearErrors, Forward_WrongShape_IsNamed) {
    EXPECT_FAILS(mezzo_linear_forward(out, TestTensor(MEZZO_DTYPE_BF16, {6, 5}), weight, bias, nullptr), SHAPE_MISMATCH,
                 "linear_forward: input is bf16[6,5], expected 3 elements in its last dimension");
    EXPECT_FAILS(mezzo_linear_forward(out, TestTensor(MEZZO_DTYPE_BF16, {}), weight, bias, nullptr), SHAPE_MISMATCH,
                 "linear_forward: input is bf16[], expected 3 elements in its last dimension");
    EXPECT_FAILS(mezzo_linear_forward(out, input, TestTensor(MEZZO_DTYPE_BF16, {3}), bias, nullptr), SHAPE_MISMATCH,
                 "linear_forward: weight is bf16[3], expected [out_features, in_features]");
    EXPECT_FAILS(mezzo_linear_forward(out, input, weight, TestTensor(MEZZO_DTYPE_F32, {3}), nullptr), SHAPE_MISMATCH,
                 "linear_forward: bias is f32[3], expected f32[4]");
    EXPECT_FAILS(mezzo_linear_forward(TestTensor(MEZZO_DTYPE_BF16, {4, 6}), input, weight, bias, nullptr),
                 SHAPE_MISMATCH, "linear_forward: out is bf16[4,6], expected bf16[6,4]");
}

TEST_F(LinearErrors, Forward_WrongDType_IsNamed) {
    EXPECT_FAILS(mezzo_linear_forward(out, TestTensor(MEZZO_DTYPE_I32, {6, 3}), weight, bias, nullptr), DTYPE_MISMATCH,
                 "linear_forward: input is i32[6,3], expected dtype f64, f32, f16 or bf16");
    EXPECT_FAILS(mezzo_linear_forward(out, input, TestTensor(MEZZO_DTYPE_F16, {4, 3}), bias, nullptr), DTYPE_MISMATCH,
                 "linear_forward: weight is f16[4,3], expected dtype bf16");
    EXPECT_FAILS(mezzo_linear_forward(out, input, weight, TestTensor(MEZZO_DTYPE_F64, {4}), nullptr), DTYPE_MISMATCH,
                 "linear_forward: bias is f64[4], expected dtype bf16 or f32");
    EXPECT_FAILS(mezzo_linear_forward(TestTensor(MEZZO_DTYPE_F16, {6, 4}), input, weight, bias, nullptr),
                 DTYPE_MISMATCH, "linear_forward: out is f16[6,4], expected dtype bf16 or f32");
    const TestTensor f32(MEZZO_DTYPE_F32, {4, 4});
    EXPECT_FAILS(mezzo_linear_forward(TestTensor(MEZZO_DTYPE_BF16, {4, 4}), f32, f32, {}, nullptr), DTYPE_MISMATCH,
                 "linear_forward: out is bf16[4,4], expected dtype f32");
}

TEST_F(LinearErrors, Forward_MissingHandleOrOverlap_IsNamed) {
    EXPECT_FAILS(mezzo_linear_forward({}, input, weight, bias, nullptr), INVALID_HANDLE,
                 "linear_forward: out is the null tensor");
    EXPECT_FAILS(mezzo_linear_forward(out, {}, weight, bias, nullptr), INVALID_HANDLE,
                 "linear_forward: input is the null tensor");
    EXPECT_FAILS(mezzo_linear_forward(out, input, {}, bias, nullptr), INVALID_HANDLE,
                 "linear_forward: weight is the null tensor");
    const TestTensor square(MEZZO_DTYPE_BF16, {4, 4});
    EXPECT_FAILS(mezzo_linear_forward(square, square, TestTensor(MEZZO_DTYPE_BF16, {4, 4}), {}, nullptr),
                 INVALID_ARGUMENT, "linear_forward: out shares memory with input, expected separate tensors");
}

TEST_F(LinearErrors, Descriptor_WrongField_IsNamed) {
    mezzo_linear_desc desc = linear_desc(MEZZO_ACTIVATION_NONE);
    desc.struct_size = 12;
    EXPECT_FAILS(mezzo_linear_forward(out, input, weight, bias, &desc), INVALID_ARGUMENT,
                 "linear_forward: desc.struct_size is 12, expected 20");
    desc = linear_desc(MEZZO_ACTIVATION_NONE);
    desc.allow_tf32 = 2;
    EXPECT_FAILS(mezzo_linear_forward(out, input, weight, bias, &desc), INVALID_ARGUMENT,
                 "linear_forward: desc.allow_tf32 is 2, expected 0 or 1");
    desc = linear_desc(MEZZO_ACTIVATION_NONE, 16);
    EXPECT_OK(mezzo_linear_forward(out, input, weight, bias, &desc));
    EXPECT_FAILS(
        mezzo_linear_backward(grad_input, grad_weight, grad_bias, {}, {}, grad_output, input, weight, {}, &desc),
        INVALID_ARGUMENT, "linear_backward: desc.accumulate is 16, expected bits of mezzo_linear_accumulate");
}

TEST_F(LinearErrors, Backward_MissingTensor_IsNamed) {
    const mezzo_linear_desc desc = linear_desc(MEZZO_ACTIVATION_RELU);
    EXPECT_FAILS(mezzo_linear_backward({}, {}, {}, {}, {}, grad_output, input, weight, {}, nullptr), INVALID_ARGUMENT,
                 "linear_backward: grad_input, grad_weight and grad_bias are all the null tensor, expected at least "
                 "one of them");
    EXPECT_FAILS(mezzo_linear_backward(grad_input, {}, {}, {}, {}, {}, input, weight, {}, nullptr), INVALID_HANDLE,
                 "linear_backward: grad_output is the null tensor");
    EXPECT_FAILS(mezzo_linear_backward(grad_input, {}, {}, {}, {}, grad_output, {}, {}, {}, nullptr), INVALID_ARGUMENT,
                 "linear_backward: weight is the null tensor, but is needed for grad_input");
    EXPECT_FAILS(mezzo_linear_backward({}, grad_weight, {}, {}, {}, grad_output, {}, {}, {}, nullptr), INVALID_ARGUMENT,
                 "linear_backward: input is the null tensor, but is needed for grad_weight");
    EXPECT_FAILS(mezzo_linear_backward({}, {}, grad_bias, {}, {}, grad_output, {}, {}, {}, &desc), INVALID_ARGUMENT,
                 "linear_backward: output is the null tensor, but is needed for the gradient of ReLU");
    EXPECT_FAILS(mezzo_linear_backward({}, grad_weight, {}, grad_input_sum, {}, grad_output, input, {}, {}, nullptr),
                 INVALID_ARGUMENT, "linear_backward: grad_input is the null tensor, but is needed for grad_input_sum");
    mezzo_linear_desc before = linear_desc(MEZZO_ACTIVATION_NONE);
    before.input_activation = MEZZO_ACTIVATION_RELU;
    EXPECT_FAILS(mezzo_linear_backward(grad_input, {}, {}, {}, {}, grad_output, {}, weight, {}, &before),
                 INVALID_ARGUMENT,
                 "linear_backward: input is the null tensor, but is needed for the gradient of the ReLU before");
    EXPECT_FAILS(mezzo_linear_backward({}, grad_weight, {}, {}, {}, grad_output, input, weight, {}, &before),
                 INVALID_ARGUMENT,
                 "linear_backward: grad_input is the null tensor, but is needed for the gradient of the ReLU before");
    before.input_activation = enum_of<mezzo_activation>(7);
    EXPECT_FAILS(mezzo_linear_backward(grad_input, {}, {}, {}, {}, grad_output, input, weight, {}, &before),
                 INVALID_ARGUMENT, "linear_backward: desc.input_activation is 7, expected a mezzo_activation");
}

TEST_F(LinearErrors, Backward_WrongSumOrFoundInf_IsNamed) {
    const auto backward = [&](mezzo_tensor sum, mezzo_tensor found_inf) {
        return mezzo_linear_backward(grad_input, {}, {}, sum, found_inf, grad_output, input, weight, {}, nullptr);
    };
    EXPECT_FAILS(backward(grad_bias, {}), SHAPE_MISMATCH, "linear_backward: grad_input_sum is f32[4], expected f32[3]");
    EXPECT_FAILS(backward(TestTensor(MEZZO_DTYPE_F16, {3}), {}), DTYPE_MISMATCH,
                 "linear_backward: grad_input_sum is f16[3], expected dtype bf16 or f32");
    EXPECT_FAILS(backward({}, TestTensor(MEZZO_DTYPE_F64, {})), DTYPE_MISMATCH,
                 "linear_backward: found_inf is f64[], expected dtype f32");
    EXPECT_FAILS(backward({}, grad_input_sum), SHAPE_MISMATCH, "linear_backward: found_inf is f32[3], expected f32[]");
    EXPECT_FAILS(backward(grad_input_sum, grad_input_sum.view(0, {})), INVALID_ARGUMENT,
                 "linear_backward: grad_input_sum shares memory with found_inf, expected separate tensors");
}

TEST_F(LinearErrors, Backward_WrongShapeOrDType_IsNamed) {
    const auto backward = [&](mezzo_tensor gi, mezzo_tensor gw, mezzo_tensor gb, mezzo_tensor go, mezzo_tensor o) {
        const mezzo_linear_desc desc = linear_desc(MEZZO_ACTIVATION_RELU);
        return mezzo_linear_backward(gi, gw, gb, {}, {}, go, input, weight, o, &desc);
    };
    EXPECT_FAILS(backward(weight, grad_weight, grad_bias, grad_output, out), SHAPE_MISMATCH,
                 "linear_backward: grad_input is bf16[4,3], expected bf16[6,3]");
    EXPECT_FAILS(backward(grad_input, bias, grad_bias, grad_output, out), SHAPE_MISMATCH,
                 "linear_backward: grad_weight is f32[4], expected f32[4,3]");
    EXPECT_FAILS(backward(grad_input, grad_weight, grad_weight, grad_output, out), SHAPE_MISMATCH,
                 "linear_backward: grad_bias is f32[4,3], expected f32[4]");
    EXPECT_FAILS(backward(grad_input, grad_weight, grad_bias, TestTensor(MEZZO_DTYPE_BF16, {6, 5}), out),
                 SHAPE_MISMATCH, "linear_backward: weight is bf16[4,3], expected bf16[5,3]");
    EXPECT_FAILS(backward(grad_input, grad_weight, grad_bias, TestTensor(MEZZO_DTYPE_BF16, {5, 4}), out),
                 SHAPE_MISMATCH, "linear_backward: input is bf16[6,3], expected bf16[5,3]");
    EXPECT_FAILS(backward(grad_input, grad_weight, grad_bias, TestTensor(MEZZO_DTYPE_BF16, {}), out), SHAPE_MISMATCH,
                 "linear_backward: grad_output is bf16[], expected at least one dimension");
    EXPECT_FAILS(backward(grad_input, grad_weight, grad_bias, grad_output, input), SHAPE_MISMATCH,
                 "linear_backward: output is bf16[6,3], expected bf16[6,4]");
    EXPECT_FAILS(backward(TestTensor(MEZZO_DTYPE_F16, {6, 3}), grad_weight, grad_bias, grad_output, out),
                 DTYPE_MISMATCH, "linear_backward: grad_input is f16[6,3], expected dtype bf16 or f32");
    EXPECT_FAILS(backward(grad_input, TestTensor(MEZZO_DTYPE_F64, {4, 3}), grad_bias, grad_output, out), DTYPE_MISMATCH,
                 "linear_backward: grad_weight is f64[4,3], expected dtype bf16 or f32");
    EXPECT_FAILS(backward(grad_input, grad_weight, grad_bias, TestTensor(MEZZO_DTYPE_I64, {6, 4}), out), DTYPE_MISMATCH,
                 "linear_backward: grad_output is i64[6,4], expected dtype f64, f32, f16 or bf16");
}

TEST_F(LinearErrors, Backward_Overlap_IsNamed) {
    const TestTensor square(MEZZO_DTYPE_F32, {4, 4}), other(MEZZO_DTYPE_F32, {4, 4}), third(MEZZO_DTYPE_F32, {4, 4});
    EXPECT_FAILS(mezzo_linear_backward(square, {}, {}, {}, {}, third, other, square, {}, nullptr), INVALID_ARGUMENT,
                 "linear_backward: grad_input shares memory with weight, expected separate tensors");
    EXPECT_FAILS(mezzo_linear_backward(square, square, {}, {}, {}, other, third, third, {}, nullptr), INVALID_ARGUMENT,
                 "linear_backward: grad_input shares memory with grad_weight, expected separate tensors");
}

} // namespace
} // namespace mezzo::testing
