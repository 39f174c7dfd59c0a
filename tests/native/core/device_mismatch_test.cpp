// SPDX-License-Identifier: MIT
// Tensors of one call on different devices. The second device is a stand-in on host memory, which no kind
// registers, so the ops are called behind the ABI.
#include "core/tensor.h"
#include "ops/full_reduction.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace mezzo::testing {
namespace {

class StandInMemory final : public MemorySource {
  public:
    void *allocate_block(int64_t bytes) noexcept override {
        return std::aligned_alloc(static_cast<size_t>(kMemoryAlignment), static_cast<size_t>(bytes));
    }
    void free_block(void *block, int64_t) noexcept override { std::free(block); }
};

class StandInDevice final : public Device {
  public:
    explicit StandInDevice(mezzo_device id)
        : Device(id, "stand-in", std::make_unique<StandInMemory>(), std::make_unique<StandInMemory>()) {}

    mezzo_dtype fast_dtype() const override { return MEZZO_DTYPE_F16; }
    void synchronize() override {}
    std::unique_ptr<Recorder> record() override { return nullptr; }
    std::shared_ptr<HostTransfer> host_transfer() override { return nullptr; }
    void copy_from_host(void *, const void *, int64_t) override {}
    void copy_to_host(void *, const void *, int64_t) override {}
    void copy_within(void *, const void *, int64_t) override {}
};

/// A scalar f32 on a device.
TensorRef scalar_on(Device &device, const char *name) {
    auto storage = std::make_shared<Storage>(device, 4);
    std::byte *data = storage->data();
    return {std::make_shared<const Tensor>(Tensor{std::move(storage), data, MEZZO_DTYPE_F32, 0, 1, {}}), name};
}

template <class Call>
void expect_mismatch(const Call &call, const char *text) {
    try {
        call();
        FAIL() << "expected: " << text;
    } catch (const Error &error) {
        EXPECT_EQ(error.status(), MEZZO_STATUS_DEVICE_MISMATCH);
        EXPECT_STREQ(error.what(), text);
    }
}

TEST(DeviceMismatch, OfTwoTensors_NamesBothAndTheirDevices) {
    StandInDevice first({MEZZO_DEVICE_TYPE_CUDA, 0}), second({MEZZO_DEVICE_TYPE_CUDA, 1});
    Device &cpu = require_device({MEZZO_DEVICE_TYPE_CPU, 0});
    const TensorRef a = scalar_on(cpu, "input"), b = scalar_on(first, "weight"), c = scalar_on(second, "bias");
    const TensorRef absent(nullptr, "output");
    expect_mismatch([&] { expect_same_device(b, a); }, "weight is on cuda:0, expected cpu as input");
    expect_mismatch([&] { expect_same_device({&absent, &b, &b, &c}); }, "bias is on cuda:1, expected cuda:0 as weight");
    EXPECT_NO_THROW(expect_same_device({&absent, &a, &a, &absent}));
}

TEST(DeviceMismatch, OfAnOpsArguments_IsFoundBeforeAnythingIsRead) {
    StandInDevice other({MEZZO_DEVICE_TYPE_CUDA, 0});
    const TensorRef input = scalar_on(require_device({MEZZO_DEVICE_TYPE_CPU, 0}), "input");
    const TensorRef out = scalar_on(other, "out");
    expect_mismatch([&] { reduce_all_forward(out, input, 1); }, "out is on cuda:0, expected cpu as input");
}

} // namespace
} // namespace mezzo::testing
