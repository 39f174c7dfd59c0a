// SPDX-License-Identifier: MIT
// Conversions between float and the types of the matrix instructions.
#include "core/dtype.h"
#include "device/ptx.cuh"
#include "simulator_test.h"

#include <cmath>
#include <limits>

namespace mezzo::cuda_sim::testing {
namespace {

using ConversionTest = SimulatorTest;

__global__ void round_to_tf32(uint32_t *out, const float *values) {
    out[threadIdx.x] = ptx::to_tf32(values[threadIdx.x]);
}

TEST_F(ConversionTest, ToTf32RoundsHalfAwayFromZero) {
    const float infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> values = {1.0f,
                                       1.0f + 0x1p-11f,                   // half of the last place: up
                                       -1.0f - 0x1p-11f,                  // and away from zero
                                       1.0f + 0x1p-11f - 0x1p-23f,        // just below: down
                                       1.0f + 3 * 0x1p-11f,               // half again, from an odd last place
                                       std::numeric_limits<float>::max(), // overflows
                                       -infinity,
                                       0x1p-149f};
    const std::vector<float> expected = {1.0f,           1.0f + 0x1p-10f, -1.0f - 0x1p-10f, 1.0f,
                                         1.0f + 0x1p-9f, infinity,        -infinity,        0.0f};
    const DeviceArray<float> in(values);
    const DeviceArray<uint32_t> out(values.size());
    ASSERT_CUDA(run(round_to_tf32, 1, static_cast<unsigned>(values.size()), 0, out.data(), in.data()));
    const std::vector<uint32_t> results = out.values();
    for (size_t i = 0; i < values.size(); ++i) {
        EXPECT_EQ(std::bit_cast<float>(results[i]), expected[i]) << values[i];
    }
    const DeviceArray<float> nan(std::vector<float>{std::numeric_limits<float>::quiet_NaN()});
    ASSERT_CUDA(run(round_to_tf32, 1, 1, 0, out.data(), nan.data()));
    EXPECT_TRUE(std::isnan(std::bit_cast<float>(out.values()[0])));
}

struct Conversions {
    uint32_t packed, rectified;
    float low;
};

template <class T>
__global__ void convert_pair(Conversions *out, float low, float high) {
    if constexpr (is_half<T>) {
        out->packed = ptx::pack<T>(low, high);
        out->rectified = ptx::pack_relu<T>(low, high);
    }
    out->low = ptx::to_float(ptx::from_float<T>(low));
}

template <class T>
Conversions convert_on_device(float low, float high) {
    const DeviceArray<Conversions> out(1);
    const TestStream stream;
    launch(convert_pair<T>, 1, 1, 0, stream, out.data(), low, high);
    return out.values()[0];
}

TEST_F(ConversionTest, ConversionsRoundToNearestEvenAndKeepInfAndNan) {
    // 1 + 2^-11 lies halfway between two halves, 1 + 3 2^-11 as well: the even one is taken.
    EXPECT_EQ(convert_on_device<Half>(1 + 0x1p-11f, 1 + 3 * 0x1p-11f).packed, 0x3c023c00u);
    EXPECT_EQ(convert_on_device<Half>(-2, 65520).packed, 0x7c00c000u); // the first that overflows
    EXPECT_EQ(convert_on_device<Half>(-2, 65520).rectified, 0x7c000000u);
    EXPECT_EQ(convert_on_device<Half>(0x1p-24f, 0x1p-25f).packed, 0x00000001u);
    EXPECT_EQ(convert_on_device<BFloat16>(1 + 0x1p-8f, 1 + 3 * 0x1p-8f).packed, 0x3f823f80u);
    EXPECT_EQ(convert_on_device<BFloat16>(std::numeric_limits<float>::max(), -1).packed, 0xbf807f80u);
    EXPECT_EQ(convert_on_device<BFloat16>(3, -1).rectified, 0x00004040u);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(convert_on_device<Half>(nan, 0).low));
    EXPECT_GT(convert_on_device<Half>(0, nan).rectified & 0x7fff0000u, 0x7c000000u);
    EXPECT_GT(convert_on_device<BFloat16>(0, nan).rectified & 0x7fff0000u, 0x7f800000u);
    EXPECT_EQ(convert_on_device<float>(1.1f, 0).low, 1.1f);
}

} // namespace
} // namespace mezzo::cuda_sim::testing
