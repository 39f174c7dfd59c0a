// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/every_device.h"
#include "support/graph.h"
#include "support/oracle.h"
#include "support/thread_counts.h"

#if defined(MEZZO_CUDA_SIM)
#include <cuda_sim/control.h>
#endif

namespace mezzo::testing {
namespace {

constexpr mezzo_unscale_desc kCheckOnly = {sizeof(mezzo_unscale_desc), 1, 0, 0, {}, {}, {}, {}};

/// One gradient of its own.
mezzo_status unscale(const TestTensor &found_inf, const TestTensor &grad, mezzo_tensor scale,
                     const mezzo_unscale_desc *desc = nullptr) {
    const mezzo_tensor handle = grad;
    return mezzo_unscale(found_inf, &handle, 1, scale, desc);
}

/// Gradients, and whether Inf or NaN was found in them.
class Grads {
  public:
    /// `count` of odd sizes, below and above a tile of the CUDA kernel, of all dtypes, every third one misaligned.
    static Grads many(int count) {
        constexpr int64_t kSizes[] = {1, 150, 7, 4099, 33, 1023, 4096, 3, 8200, 512, 5};
        Grads grads;
        for (int k = 0; k < count; ++k) {
            const mezzo_dtype dtype = kFloatingDTypes[static_cast<size_t>(k % 4)];
            const int64_t elements = k < 33 ? kSizes[k % 11] : k % 97 + 1;
            const std::vector<double> values = random_values(elements, static_cast<uint64_t>(k));
            grads.tensors.push_back(k % 3 == 2 ? TestTensor::misaligned(dtype, {elements}, values)
                                               : TestTensor(dtype, {elements}, values));
        }
        return grads;
    }

    /// The same on the CPU.
    Grads on_cpu() const {
        Grads grads;
        for (const TestTensor &tensor : tensors) grads.tensors.push_back(testing::on_cpu(tensor));
        grads.found_inf = testing::on_cpu(found_inf);
        return grads;
    }

    mezzo_status run(mezzo_tensor scale, const mezzo_unscale_desc *desc = nullptr) const {
        const std::vector<mezzo_tensor> handles(tensors.begin(), tensors.end());
        return mezzo_unscale(found_inf, handles.data(), static_cast<int32_t>(handles.size()), scale, desc);
    }

    /// All bytes that the op may write.
    std::vector<uint8_t> bytes() const {
        std::vector<uint8_t> all = found_inf.bytes();
        for (const TestTensor &tensor : tensors) {
            const std::vector<uint8_t> part = tensor.bytes();
            all.insert(all.end(), part.begin(), part.end());
        }
        return all;
    }

    std::vector<TestTensor> tensors;
    TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
};

std::vector<double> reference(std::vector<double> values, double scale, mezzo_dtype dtype) {
    const double factor = rounded({1 / scale}, MEZZO_DTYPE_F32)[0];
    for (double &value : values) value *= factor;
    return rounded(rounded(values, arithmetic_of(dtype)), dtype);
}

TEST(Unscale, MultipliesByTheInverseForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            for (const double scale : {65536.0, 3.0}) {
                const TestTensor grad = TestTensor::misaligned(dtype, shape, random_values(elements_of(shape), 1));
                const std::vector<double> expected = reference(grad.values(), scale, dtype);
                const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
                ASSERT_OK(unscale(found_inf, grad, TestTensor::scalar(MEZZO_DTYPE_F32, scale)));
                EXPECT_TRUE(is_identical(grad.values(), expected));
                EXPECT_EQ(found_inf.item(), 0);
            }
        }
    }
}

TEST(Unscale, FindsInfAndNaNAtEveryPosition) {
    constexpr int64_t kElements = 133; // two vectors of bytes and a ragged end
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 2);
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const double bad :
             {static_cast<double>(INFINITY), -static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
            for (size_t position = 0; position < kElements; ++position) {
                for (const mezzo_unscale_desc *desc : {static_cast<const mezzo_unscale_desc *>(nullptr), &kCheckOnly}) {
                    std::vector<double> values(kElements, 1);
                    values[position] = bad;
                    const TestTensor grad(dtype, {kElements}, values);
                    const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
                    ASSERT_OK(unscale(found_inf, grad, scale, desc));
                    ASSERT_EQ(found_inf.item(), 1) << "dtype " << dtype << ", position " << position;
                    if (desc == nullptr) values = reference(values, 2, dtype);
                    ASSERT_TRUE(is_identical(grad.values(), values));
                }
            }
        }
    }
}

// Where threads have many elements each, in places of which none may be left out.
TEST(Unscale, FindsInfAndNaNAcrossALargeGradient) {
    constexpr int64_t kElements = 20021;
    constexpr size_t kStride = 163; // odd: every place in a thread's share comes up
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 2);
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        std::vector<double> values(kElements, 1);
        for (size_t position = 0; position < kElements; position += kStride) {
            values[position] = position % 2 == 0 ? static_cast<double>(INFINITY) : static_cast<double>(NAN);
            const TestTensor grad(dtype, {kElements}, values);
            values[position] = 1;
            const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
            ASSERT_OK(unscale(found_inf, grad, scale, &kCheckOnly));
            ASSERT_EQ(found_inf.item(), 1) << "dtype " << dtype << ", position " << position;
        }
    }
}

TEST(Unscale, DoesNotFindLargestNumbersAndSubnormals) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        std::vector<double> finite = special_values(dtype);
        std::erase_if(finite, [](double value) { return !std::isfinite(value); });
        const TestTensor grad(dtype, {static_cast<int64_t>(finite.size())}, finite);
        const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
        ASSERT_OK(unscale(found_inf, grad, {}));
        EXPECT_EQ(found_inf.item(), 0);
        // The check precedes the multiplication: an overflow that the unscaling itself makes is not found.
        ASSERT_OK(unscale(found_inf, grad, TestTensor::scalar(MEZZO_DTYPE_F32, 0.5)));
        EXPECT_EQ(found_inf.item(), 0);
        EXPECT_TRUE(is_identical(grad.values(), reference(finite, 0.5, dtype)));
    }
}

TEST(Unscale, OnlyEverSetsFoundInf) {
    const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 1);
    ASSERT_OK(unscale(found_inf, TestTensor(MEZZO_DTYPE_F32, {3}, {1, 2, 3}), {}));
    EXPECT_EQ(found_inf.item(), 1);
}

TEST(Unscale, LeavesTheBitsAloneForAFactorOfOneAndForACheck) {
    const std::vector<uint32_t> bits = {0x7fa00001, 0xffa00001, 1, 0x80000001, 0x3f800000}; // signalling NaNs first
    const auto bytes = static_cast<int64_t>(bits.size() * sizeof(uint32_t));
    const TestTensor grad(MEZZO_DTYPE_F32, {static_cast<int64_t>(bits.size())});
    ASSERT_OK(mezzo_tensor_write(grad, bits.data(), bytes));
    const std::vector<uint8_t> before = grad.bytes();
    const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
    ASSERT_OK(unscale(found_inf, grad, {}));
    ASSERT_OK(unscale(found_inf, grad, TestTensor::scalar(MEZZO_DTYPE_F32, 1)));
    ASSERT_OK(unscale(found_inf, grad, TestTensor::scalar(MEZZO_DTYPE_F32, 1024), &kCheckOnly));
    EXPECT_EQ(grad.bytes(), before);
    EXPECT_EQ(found_inf.item(), 1);
}

TEST(Unscale, TakesListsOfMixedDTypesAndSizes) {
    const std::vector<std::pair<mezzo_dtype, int64_t>> parts = {
        {MEZZO_DTYPE_F32, 1},     {MEZZO_DTYPE_F16, 7},  {MEZZO_DTYPE_F32, 100003}, {MEZZO_DTYPE_BF16, 1023},
        {MEZZO_DTYPE_F64, 20000}, {MEZZO_DTYPE_F32, 64}, {MEZZO_DTYPE_F16, 40000},  {MEZZO_DTYPE_F64, 1}};
    const auto count = static_cast<int32_t>(parts.size());
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 128);
    for (const int32_t threads : {1, 2, 3}) {
        const ThreadScope scope(threads);
        std::vector<TestTensor> grads;
        std::vector<mezzo_tensor> handles;
        std::vector<std::vector<double>> expected;
        for (const auto &[dtype, elements] : parts) {
            grads.emplace_back(dtype, Shape{elements}, random_values(elements, grads.size()));
            handles.push_back(grads.back());
            expected.push_back(reference(grads.back().values(), 128, dtype));
        }
        const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
        ASSERT_OK(mezzo_unscale(found_inf, handles.data(), count, scale, nullptr));
        EXPECT_EQ(found_inf.item(), 0);
        for (size_t k = 0; k < grads.size(); ++k) EXPECT_TRUE(is_identical(grads[k].values(), expected[k])) << k;
        for (const TestTensor &grad : grads) {
            ASSERT_OK(mezzo_fill(grad, NAN));
            const TestTensor found_in_list = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
            ASSERT_OK(mezzo_unscale(found_in_list, handles.data(), count, scale, nullptr));
            EXPECT_EQ(found_in_list.item(), 1);
            ASSERT_OK(mezzo_fill(grad, 0));
        }
    }
}

TEST(Unscale, OnEveryDevice_GivesTheSameBits) {
    for (const int count : {0, 1, 2, 33, 500}) {
        const Grads grads = Grads::many(count);
        const Grads expected = grads.on_cpu();
        for (const double scale_value : {1.0, 3.0, 0x1p-126, 0x1p-126, 65536.0}) { // 2^126 twice makes Inf
            const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, scale_value);
            const TestTensor cpu_scale = on_cpu(scale);
            for (const mezzo_unscale_desc *desc : {&kCheckOnly, static_cast<const mezzo_unscale_desc *>(nullptr)}) {
                ASSERT_OK(grads.run(scale, desc));
                ASSERT_OK(expected.run(cpu_scale, desc));
                ASSERT_EQ(grads.bytes(), expected.bytes()) << count << " gradients, scale " << scale_value;
            }
        }
        ASSERT_OK(grads.run({}));
        EXPECT_EQ(grads.found_inf.item(), count == 0 ? 0 : 1);
    }
}

TEST(Unscale, FindsInfInAnyOfManyGradients) {
    const Grads grads = Grads::many(500);
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 2);
    ASSERT_OK(grads.run(scale));
    EXPECT_EQ(grads.found_inf.item(), 0);
    for (const size_t k : {0, 3, 126, 127, 253, 254, 499}) {
        ASSERT_OK(mezzo_fill(grads.tensors[k], INFINITY));
        ASSERT_OK(grads.run(scale));
        EXPECT_EQ(grads.found_inf.item(), 1) << "gradient " << k;
        ASSERT_OK(mezzo_fill(grads.tensors[k], 0));
        grads.found_inf.write({0});
    }
}

TEST(Unscale, InAGraph_ReadsTheScaleWhenItIsLaunched) {
    for (const int count : {0, 1, 33, 400}) {
        const Grads captured = Grads::many(count);
        const Grads eager = Grads::many(count);
        const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 7);
        const TestGraph graph([&] { EXPECT_OK(captured.run(scale)); });
        for (const double next_scale : {3.0, 1.0, 0x1p-126, 0x1p-126}) {
            scale.write({next_scale});
            graph.launch();
            ASSERT_OK(eager.run(scale));
            EXPECT_EQ(captured.bytes(), eager.bytes()) << count << " gradients";
        }
        graph.launch();
        EXPECT_EQ(captured.found_inf.item(), count == 0 ? 0 : 1) << "which the launch before has made";
    }
}

#if defined(MEZZO_CUDA_SIM)

TEST(Unscale, OnCuda_IsOneLaunch) {
    if (test_device().type != MEZZO_DEVICE_TYPE_CUDA) return;
    const auto launches = [](const Grads &grads) {
        cuda_sim::mark();
        EXPECT_OK(grads.run({}));
        return cuda_sim::counters().kernels;
    };
    EXPECT_EQ(launches(Grads::many(0)), 0);
    EXPECT_EQ(launches(Grads::many(1)), 1);
    EXPECT_EQ(launches(Grads::many(120)), 1);
    EXPECT_EQ(launches(Grads::many(200)), 2) << "more than a kernel's parameters hold";
}

#endif

TEST(Unscale, ToCheckOnly_ReadsGradientsThatShareMemory) {
    const TestTensor base(MEZZO_DTYPE_F32, {8}, {1, 2, 3, 4, INFINITY, 6, 7, 8});
    const TestTensor head = base.view(0, {5});
    const TestTensor tail = base.view(4, {4});
    const mezzo_tensor grads[] = {head, tail, head};
    const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
    ASSERT_OK(mezzo_unscale(found_inf, grads, 3, base.view(2, {}), &kCheckOnly));
    EXPECT_EQ(found_inf.item(), 1);
    EXPECT_FAILS(unscale(base.view(0, {}), head, {}, &kCheckOnly), INVALID_ARGUMENT,
                 "unscale: found_inf shares memory with grads[0], expected separate tensors");
}

TEST(Unscale, TakesAnEmptyList) {
    const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
    ASSERT_OK(mezzo_unscale(found_inf, nullptr, 0, {}, nullptr));
    EXPECT_EQ(found_inf.item(), 0);
}

TEST(Unscale, RejectsBadArguments) {
    const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
    const TestTensor base(MEZZO_DTYPE_F32, {8}, random_values(8, 1));
    const TestTensor head = base.view(0, {5});
    const TestTensor tail = base.view(4, {4});
    const TestTensor integers(MEZZO_DTYPE_I32, {8});
    const TestTensor wide = TestTensor::scalar(MEZZO_DTYPE_F64, 1);
    const mezzo_tensor overlapping[] = {tail, head};
    const mezzo_tensor with_null[] = {tail, {}};
    EXPECT_FAILS(mezzo_unscale({}, with_null, 1, {}, nullptr), INVALID_HANDLE, "unscale: found_inf is the null tensor");
    EXPECT_FAILS(mezzo_unscale(found_inf, nullptr, 1, {}, nullptr), INVALID_ARGUMENT,
                 "unscale: grads is a null pointer");
    EXPECT_FAILS(mezzo_unscale(found_inf, with_null, -1, {}, nullptr), INVALID_ARGUMENT,
                 "unscale: count is -1, expected at least 0");
    EXPECT_FAILS(mezzo_unscale(found_inf, with_null, 2, {}, nullptr), INVALID_HANDLE,
                 "unscale: grads[1] is the null tensor");
    EXPECT_FAILS(unscale(found_inf, integers, {}), DTYPE_MISMATCH,
                 "unscale: grads[0] is i32[8], expected dtype f64, f32, f16 or bf16");
    EXPECT_FAILS(unscale(wide, head, {}), DTYPE_MISMATCH, "unscale: found_inf is f64[], expected dtype f32");
    EXPECT_FAILS(unscale(found_inf, head, wide), DTYPE_MISMATCH, "unscale: scale is f64[], expected dtype f32");
    EXPECT_FAILS(unscale(base, head, {}), SHAPE_MISMATCH, "unscale: found_inf is f32[8], expected f32[]");
    EXPECT_FAILS(mezzo_unscale(found_inf, overlapping, 2, {}, nullptr), INVALID_ARGUMENT,
                 "unscale: grads[0] shares memory with grads[1], expected separate tensors");
    EXPECT_FAILS(unscale(found_inf, head, base.view(2, {})), INVALID_ARGUMENT,
                 "unscale: grads[0] shares memory with scale, expected separate tensors");
    EXPECT_FAILS(unscale(found_inf, head, found_inf), INVALID_ARGUMENT,
                 "unscale: found_inf shares memory with scale, expected separate tensors");
    const mezzo_unscale_desc no_size = {};
    EXPECT_FAILS(unscale(found_inf, head, {}, &no_size), INVALID_ARGUMENT,
                 "unscale: desc.struct_size is 0, expected 48");
    mezzo_unscale_desc unknown = kCheckOnly;
    unknown.check_only = 2;
    EXPECT_FAILS(unscale(found_inf, head, {}, &unknown), INVALID_ARGUMENT,
                 "unscale: desc.check_only is 2, expected 0 or 1");
}

} // namespace
} // namespace mezzo::testing
