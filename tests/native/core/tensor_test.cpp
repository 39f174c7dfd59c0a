// SPDX-License-Identifier: MIT
#include "support/tensor.h"
#include "support/enum.h"
#include "support/oracle.h"
#include "support/status.h"

#include <limits>
#include <string>

namespace mezzo::testing {
namespace {

const mezzo_device kDevice = test_device();

mezzo_status create(const Shape &shape, mezzo_dtype dtype = MEZZO_DTYPE_F32, mezzo_device device = kDevice) {
    mezzo_tensor tensor{77};
    const mezzo_status status =
        mezzo_tensor_create(&tensor, device, dtype, shape.data(), static_cast<int32_t>(shape.size()));
    if (status == MEZZO_STATUS_OK) {
        EXPECT_OK(mezzo_tensor_destroy(tensor));
    } else {
        EXPECT_EQ(tensor.id, 77u) << "a failed call changed its output";
    }
    return status;
}

TEST(Tensor, Describe_OfEachDType_GivesWhatWasAskedFor) {
    const int64_t sizes[] = {4, 8, 2, 2, 8, 4, 1}; // in the order of kDTypes
    for (size_t i = 0; i < kDTypes.size(); ++i) {
        const TestTensor tensor(kDTypes[i], {2, 3, 5});
        const mezzo_tensor_info info = tensor.info();
        EXPECT_EQ(info.device.type, kDevice.type);
        EXPECT_EQ(info.device.index, kDevice.index);
        EXPECT_EQ(info.dtype, kDTypes[i]);
        EXPECT_EQ(info.rank, 3);
        EXPECT_EQ(info.elements, 30);
        EXPECT_EQ(info.bytes, 30 * sizes[i]);
        EXPECT_EQ(Shape(info.shape, info.shape + MEZZO_MAX_RANK), (Shape{2, 3, 5, 0, 0, 0, 0, 0}));
    }
}

TEST(Tensor, Create_OfAScalar_NeedsNoShape) {
    mezzo_tensor tensor{};
    ASSERT_OK(mezzo_tensor_create(&tensor, kDevice, MEZZO_DTYPE_F64, nullptr, 0));
    const TestTensor scalar(tensor);
    EXPECT_EQ(scalar.info().rank, 0);
    EXPECT_EQ(scalar.info().elements, 1);
    EXPECT_EQ(scalar.info().bytes, 8);
}

TEST(Tensor, Create_OfTheLargestRank_Works) {
    EXPECT_OK(create(Shape(MEZZO_MAX_RANK, 1)));
    EXPECT_FAILS(create(Shape(MEZZO_MAX_RANK + 1, 1)), INVALID_ARGUMENT, "tensor_create: rank is 9, expected 0 to 8");
}

TEST(Tensor, Create_WithABadShape_NamesTheDimension) {
    EXPECT_FAILS(create({3, 0}), INVALID_ARGUMENT, "tensor_create: shape[1] is 0, expected at least 1");
    EXPECT_FAILS(create({-4, 3}), INVALID_ARGUMENT, "tensor_create: shape[0] is -4, expected at least 1");
    mezzo_tensor tensor{};
    EXPECT_FAILS(mezzo_tensor_create(&tensor, kDevice, MEZZO_DTYPE_F32, nullptr, 2), INVALID_ARGUMENT,
                 "tensor_create: shape is a null pointer");
    EXPECT_FAILS(mezzo_tensor_create(&tensor, kDevice, MEZZO_DTYPE_F32, nullptr, -1), INVALID_ARGUMENT,
                 "tensor_create: rank is -1, expected 0 to 8");
}

TEST(Tensor, Create_OfTooManyBytes_SaysSo) {
    constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();
    EXPECT_FAILS(create({kLargest}), INVALID_ARGUMENT,
                 "tensor_create: f32[9223372036854775807] has more than 2^63 - 1 bytes");
    EXPECT_FAILS(create({int64_t{1} << 31, int64_t{1} << 31, 2}), INVALID_ARGUMENT,
                 "tensor_create: f32[2147483648,2147483648,2] has more than 2^63 - 1 bytes");
    // Small enough for a byte count, but not once it is rounded up.
    EXPECT_FAILS(create({kLargest}, MEZZO_DTYPE_U8), INVALID_ARGUMENT,
                 "tensor_create: 9223372036854775807 bytes were asked for, expected 1 to 9223372036854775743");
}

TEST(Tensor, Create_OfMoreThanTheMachineHas_IsOutOfMemory) {
    EXPECT_EQ(create({int64_t{1} << 50}), MEZZO_STATUS_OUT_OF_MEMORY);
    EXPECT_TRUE(
        std::string_view(mezzo_last_error()).starts_with("tensor_create: 4503599627370496 bytes were asked for"))
        << mezzo_last_error();
}

TEST(Tensor, Create_WithABadDTypeOrPointer_SaysWhich) {
    for (const int32_t value : {0, 8, -1}) {
        const std::string expected =
            "tensor_create: dtype is " + std::to_string(value) + ", expected one of mezzo_dtype (1 to 7)";
        EXPECT_FAILS(create({1}, enum_of<mezzo_dtype>(value)), INVALID_ARGUMENT, expected.c_str());
    }
    EXPECT_FAILS(mezzo_tensor_create(nullptr, kDevice, MEZZO_DTYPE_F32, nullptr, 0), INVALID_ARGUMENT,
                 "tensor_create: out_tensor is a null pointer");
}

TEST(Tensor, Create_OnAMissingDevice_SaysWhy) {
    EXPECT_FAILS(create({1}, MEZZO_DTYPE_F32, {MEZZO_DEVICE_TYPE_CPU, 1}), DEVICE_UNAVAILABLE,
                 "tensor_create: there is no device cpu:1: indices of this kind go from 0 to 0");
    EXPECT_EQ(create({1}, MEZZO_DTYPE_F32, {MEZZO_DEVICE_TYPE_CUDA, 99}), MEZZO_STATUS_DEVICE_UNAVAILABLE);
}

TEST(Tensor, WriteThenRead_GivesTheSameElements) {
    for (const mezzo_dtype dtype : kDTypes) {
        const std::vector<double> values = {0, 1, 2, 3, 100, 127};
        EXPECT_TRUE(is_identical(TestTensor(dtype, {2, 3}, values).values(), values));
    }
}

TEST(Tensor, Write_WithAWrongSizeOrPointer_SaysWhich) {
    const TestTensor tensor(MEZZO_DTYPE_F16, {2, 3});
    const char data[12] = {};
    EXPECT_FAILS(mezzo_tensor_write(tensor, data, 24), INVALID_ARGUMENT,
                 "tensor_write: bytes is 24, expected 12 for out_tensor, which is f16[2,3]");
    EXPECT_FAILS(mezzo_tensor_write(tensor, data, -1), INVALID_ARGUMENT,
                 "tensor_write: bytes is -1, expected 12 for out_tensor, which is f16[2,3]");
    EXPECT_FAILS(mezzo_tensor_write(tensor, nullptr, 12), INVALID_ARGUMENT, "tensor_write: data is a null pointer");
    EXPECT_FAILS(mezzo_tensor_read(nullptr, tensor, 12), INVALID_ARGUMENT, "tensor_read: out_data is a null pointer");
    char out[12];
    EXPECT_FAILS(mezzo_tensor_read(out, tensor, 0), INVALID_ARGUMENT,
                 "tensor_read: bytes is 0, expected 12 for tensor, which is f16[2,3]");
}

TEST(Tensor, Copy_TakesAnyShapeOfAsManyElements) {
    const std::vector<double> values = random_values(12, 1);
    const TestTensor from(MEZZO_DTYPE_F64, {3, 4}, values);
    const TestTensor to(MEZZO_DTYPE_F64, {12});
    ASSERT_OK(mezzo_tensor_copy(to, from));
    EXPECT_TRUE(is_identical(to.values(), values));
    ASSERT_OK(mezzo_tensor_copy(to, to));
    EXPECT_TRUE(is_identical(to.values(), values));
}

TEST(Tensor, Copy_OfAnotherDTypeSizeOrOverlappingPart_Fails) {
    const TestTensor from(MEZZO_DTYPE_F64, {3, 4}, random_values(12, 1));
    EXPECT_FAILS(mezzo_tensor_copy(TestTensor(MEZZO_DTYPE_F32, {3, 4}), from), DTYPE_MISMATCH,
                 "tensor_copy: out_tensor is f32[3,4], expected dtype f64");
    EXPECT_FAILS(mezzo_tensor_copy(TestTensor(MEZZO_DTYPE_F64, {5}), from), SHAPE_MISMATCH,
                 "tensor_copy: out_tensor is f64[5] with 5 elements, expected 12 as in tensor");
    EXPECT_FAILS(mezzo_tensor_copy(from.view(1, {4}), from.view(0, {4})), INVALID_ARGUMENT,
                 "tensor_copy: out_tensor shares memory with tensor, expected the same tensor or separate ones");
}

TEST(Tensor, View_SharesTheElements) {
    const TestTensor base(MEZZO_DTYPE_I32, {4, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
    const TestTensor rows = base.view(3, {2, 3});
    EXPECT_EQ(rows.values(), (std::vector<double>{3, 4, 5, 6, 7, 8}));
    rows.view(2, {2, 2}).write({50, 60, 70, 80});
    EXPECT_EQ(base.values(), (std::vector<double>{0, 1, 2, 3, 4, 50, 60, 70, 80, 9, 10, 11}));
    EXPECT_EQ(base.view(11, {}).item(), 11);
}

TEST(Tensor, View_OutlivesItsBase) {
    TestTensor base(MEZZO_DTYPE_F32, {2}, {1, 2});
    const TestTensor view = base.view(1, {1});
    base.destroy();
    EXPECT_EQ(view.item(), 2);
}

TEST(Tensor, View_ThatDoesNotFit_SaysBoth) {
    const TestTensor base(MEZZO_DTYPE_F32, {4, 3});
    mezzo_tensor view{};
    const auto make = [&](int64_t offset, const Shape &shape) {
        return mezzo_tensor_view(&view, base, offset, shape.data(), static_cast<int32_t>(shape.size()));
    };
    EXPECT_FAILS(make(1, {4, 3}), INVALID_ARGUMENT,
                 "tensor_view: offset is 1 and the view f32[4,3], expected both to fit into base, which is f32[4,3]");
    EXPECT_FAILS(make(-1, {1}), INVALID_ARGUMENT,
                 "tensor_view: offset is -1 and the view f32[1], expected both to fit into base, which is f32[4,3]");
    EXPECT_FAILS(make(std::numeric_limits<int64_t>::max(), {1}), INVALID_ARGUMENT,
                 "tensor_view: offset is 9223372036854775807 and the view f32[1], expected both to fit into base, "
                 "which is f32[4,3]");
    EXPECT_FAILS(make(0, {0}), INVALID_ARGUMENT, "tensor_view: shape[0] is 0, expected at least 1");
    EXPECT_FAILS(mezzo_tensor_view(nullptr, base, 0, nullptr, 0), INVALID_ARGUMENT,
                 "tensor_view: out_tensor is a null pointer");
    EXPECT_EQ(view.id, 0u);
}

} // namespace
} // namespace mezzo::testing
