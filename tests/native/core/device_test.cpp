// SPDX-License-Identifier: MIT
#include "support/enum.h"
#include "support/status.h"

#include <string>
#include <string_view>

namespace mezzo::testing {
namespace {

constexpr mezzo_device kCpu{MEZZO_DEVICE_TYPE_CPU, 0};

TEST(Device, Cpu_IsThere) {
    int32_t count = 0;
    ASSERT_OK(mezzo_device_count(&count, MEZZO_DEVICE_TYPE_CPU));
    EXPECT_EQ(count, 1);
    const char *text = nullptr;
    ASSERT_OK(mezzo_device_missing_reason(&text, MEZZO_DEVICE_TYPE_CPU));
    EXPECT_STREQ(text, "");
    ASSERT_OK(mezzo_device_name(&text, kCpu));
    EXPECT_STRNE(text, "");
    mezzo_dtype dtype{};
    ASSERT_OK(mezzo_device_fast_dtype(&dtype, kCpu));
    EXPECT_EQ(dtype, MEZZO_DTYPE_BF16);
    EXPECT_OK(mezzo_device_synchronize(kCpu));
}

TEST(Device, Cuda_IsThereOrMissingForAReason) {
    int32_t count = -1;
    ASSERT_OK(mezzo_device_count(&count, MEZZO_DEVICE_TYPE_CUDA));
    const char *reason = nullptr;
    ASSERT_OK(mezzo_device_missing_reason(&reason, MEZZO_DEVICE_TYPE_CUDA));
    EXPECT_EQ(count == 0, std::string_view(reason) != "");
    const mezzo_device missing{MEZZO_DEVICE_TYPE_CUDA, count};
    const std::string text = "device_name: there is no device cuda:" + std::to_string(count) + ": " +
                             (count == 0 ? reason : "indices of this kind go from 0 to " + std::to_string(count - 1));
    const char *name = nullptr;
    EXPECT_FAILS(mezzo_device_name(&name, missing), DEVICE_UNAVAILABLE, text.c_str());
    EXPECT_EQ(name, nullptr);
    mezzo_dtype dtype{};
    EXPECT_EQ(mezzo_device_fast_dtype(&dtype, missing), MEZZO_STATUS_DEVICE_UNAVAILABLE);
    EXPECT_EQ(mezzo_device_synchronize(missing), MEZZO_STATUS_DEVICE_UNAVAILABLE);
    EXPECT_EQ(mezzo_memory_peak_reset(missing), MEZZO_STATUS_DEVICE_UNAVAILABLE);
}

#if !defined(MEZZO_HAVE_CUDA)
TEST(Device, WithoutCudaInTheBuild_TheReasonSaysSo) {
    const char *reason = nullptr;
    ASSERT_OK(mezzo_device_missing_reason(&reason, MEZZO_DEVICE_TYPE_CUDA));
    EXPECT_STREQ(reason, "this build of libmezzo has no CUDA kernels");
}
#endif

TEST(Device, NullPointers_AreNamed) {
    EXPECT_FAILS(mezzo_device_count(nullptr, MEZZO_DEVICE_TYPE_CPU), INVALID_ARGUMENT,
                 "device_count: out_count is a null pointer");
    EXPECT_FAILS(mezzo_device_name(nullptr, kCpu), INVALID_ARGUMENT, "device_name: out_name is a null pointer");
    EXPECT_FAILS(mezzo_device_missing_reason(nullptr, MEZZO_DEVICE_TYPE_CPU), INVALID_ARGUMENT,
                 "device_missing_reason: out_reason is a null pointer");
    EXPECT_FAILS(mezzo_device_fast_dtype(nullptr, kCpu), INVALID_ARGUMENT,
                 "device_fast_dtype: out_dtype is a null pointer");
}

TEST(Device, OfAnUnknownType_IsNotADevice) {
    int32_t count = -1;
    EXPECT_FAILS(mezzo_device_count(&count, enum_of<mezzo_device_type>(7)), INVALID_ARGUMENT,
                 "device_count: device type is 7, expected 0 (cpu) or 1 (cuda)");
    EXPECT_EQ(count, -1);
    EXPECT_FAILS(mezzo_device_synchronize({enum_of<mezzo_device_type>(-1), 0}), INVALID_ARGUMENT,
                 "device_synchronize: device type is -1, expected 0 (cpu) or 1 (cuda)");
}

TEST(Device, OfANegativeIndex_IsMissing) {
    EXPECT_FAILS(mezzo_device_synchronize({MEZZO_DEVICE_TYPE_CPU, -1}), DEVICE_UNAVAILABLE,
                 "device_synchronize: there is no device cpu:-1: indices of this kind go from 0 to 0");
}

} // namespace
} // namespace mezzo::testing
