// SPDX-License-Identifier: MIT
// The driver's virtual memory: addresses, memory behind them, who may touch it, misuse.
#include "simulator_test.h"

#include <cuda.h>

#include <cmath>

namespace mezzo::cuda_sim::testing {
namespace {

constexpr size_t kUnit = size_t{64} << 10;

template <class Function>
Function *find(Function *, const char *name) {
    void *found = nullptr;
    cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    EXPECT_CUDA(cudaSuccess, cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &result));
    EXPECT_EQ(result, cudaDriverEntryPointSuccess) << name;
    return reinterpret_cast<Function *>(found);
}

#define DRIVER(function) find(function, #function)

CUmemAllocationProp on_device(int ordinal) {
    return {CU_MEM_ALLOCATION_TYPE_PINNED, {CU_MEM_LOCATION_TYPE_DEVICE, ordinal}};
}

size_t free_bytes() {
    size_t free = 0;
    size_t total = 0;
    EXPECT_CUDA(cudaSuccess, cudaMemGetInfo(&free, &total));
    return free;
}

__global__ void copy_value(float *out, const float *in) {
    *out = *in;
}

class VirtualMemoryTest : public SimulatorTest {
  protected:
    static constexpr size_t kReserved = 16 * kUnit;

    VirtualMemoryTest() { EXPECT_EQ(DRIVER(cuMemAddressReserve)(&base_, kReserved, 0, 0, 0), CUDA_SUCCESS); }

    static CUmemGenericAllocationHandle create(size_t bytes) {
        CUmemGenericAllocationHandle memory = 0;
        const CUmemAllocationProp properties = on_device(0);
        EXPECT_EQ(DRIVER(cuMemCreate)(&memory, bytes, &properties, 0), CUDA_SUCCESS);
        return memory;
    }

    CUresult permit(size_t offset, size_t bytes, CUmemAccess_flags flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE) {
        const CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, flags};
        return DRIVER(cuMemSetAccess)(base_ + offset, bytes, &access, 1);
    }

    void map(size_t offset, size_t bytes) {
        const CUmemGenericAllocationHandle memory = create(bytes);
        EXPECT_EQ(DRIVER(cuMemMap)(base_ + offset, bytes, 0, memory, 0), CUDA_SUCCESS);
        EXPECT_EQ(DRIVER(cuMemRelease)(memory), CUDA_SUCCESS);
        EXPECT_EQ(permit(offset, bytes), CUDA_SUCCESS);
    }

    float *at(size_t offset) const { return reinterpret_cast<float *>(base_ + offset); }

    CUdeviceptr base_ = 0;
};

TEST_F(VirtualMemoryTest, AMachineMayHaveNone) {
    CUdevice device = -1;
    int is_supported = -1;
    const auto ask = [&] {
        return DRIVER(cuDeviceGetAttribute)(&is_supported, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0);
    };
    EXPECT_EQ(DRIVER(cuDeviceGet)(&device, 0), CUDA_SUCCESS);
    EXPECT_EQ(device, 0);
    EXPECT_EQ(DRIVER(cuDeviceGet)(&device, 1), CUDA_ERROR_INVALID_DEVICE);
    EXPECT_EQ(ask(), CUDA_SUCCESS);
    EXPECT_EQ(is_supported, 1);
    configure({.virtual_memory = false});
    EXPECT_EQ(ask(), CUDA_SUCCESS);
    EXPECT_EQ(is_supported, 0);
    EXPECT_EQ(DRIVER(cuMemAddressReserve)(&base_, kUnit, 0, 0, 0), CUDA_ERROR_NOT_SUPPORTED);
}

TEST_F(VirtualMemoryTest, UnknownFunctionsAreNotFound) {
    void *found = this;
    cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSuccess;
    EXPECT_CUDA(cudaSuccess, cudaGetDriverEntryPoint("cuMemConjure", &found, cudaEnableDefault, &result));
    EXPECT_EQ(result, cudaDriverEntryPointSymbolNotFound);
    EXPECT_EQ(found, nullptr);
    EXPECT_CUDA(cudaErrorInvalidValue, cudaGetDriverEntryPoint("cuMemMap", &found, 7, nullptr));
}

TEST_F(VirtualMemoryTest, MemoryIsCountedFromItsCreationUntilNobodyHasIt) {
    const size_t before = free_bytes();
    const CUmemGenericAllocationHandle memory = create(2 * kUnit);
    EXPECT_EQ(free_bytes(), before - 2 * kUnit);
    EXPECT_EQ(DRIVER(cuMemMap)(base_, 2 * kUnit, 0, memory, 0), CUDA_SUCCESS);
    EXPECT_EQ(DRIVER(cuMemRelease)(memory), CUDA_SUCCESS);
    EXPECT_EQ(DRIVER(cuMemRelease)(memory), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(free_bytes(), before - 2 * kUnit) << "it lives as long as it is mapped";
    EXPECT_EQ(DRIVER(cuMemUnmap)(base_, 2 * kUnit), CUDA_SUCCESS);
    EXPECT_EQ(free_bytes(), before);
    EXPECT_EQ(DRIVER(cuMemRelease)(create(kUnit)), CUDA_SUCCESS);
    EXPECT_EQ(free_bytes(), before);
    EXPECT_EQ(DRIVER(cuMemAddressFree)(base_, kReserved), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, ADeviceHasAsMuchMemoryAsTheMachineSays) {
    configure({.memory = 4 * kUnit});
    CUmemGenericAllocationHandle memory = 0;
    const CUmemAllocationProp properties = on_device(0);
    void *block = nullptr;
    ASSERT_CUDA(cudaMalloc(&block, kUnit));
    EXPECT_EQ(DRIVER(cuMemCreate)(&memory, 4 * kUnit, &properties, 0), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_EQ(DRIVER(cuMemCreate)(&memory, 3 * kUnit, &properties, 0), CUDA_SUCCESS);
    void *more = nullptr;
    EXPECT_CUDA(cudaErrorMemoryAllocation, cudaMalloc(&more, 1));
    EXPECT_EQ(DRIVER(cuMemRelease)(memory), CUDA_SUCCESS);
    ASSERT_CUDA(cudaMalloc(&more, 3 * kUnit));
    inject(cudaErrorMemoryAllocation, Call::kAllocation);
    EXPECT_EQ(DRIVER(cuMemCreate)(&memory, kUnit, &properties, 0), CUDA_ERROR_OUT_OF_MEMORY);
}

TEST_F(VirtualMemoryTest, MappedMemoryHoldsNan_AndIsOneWithItsNeighbour) {
    map(0, kUnit);
    map(kUnit, 2 * kUnit);
    const DeviceArray<float> out(1);
    ASSERT_CUDA(run(copy_value, 1, 1, 0, out.data(), at(kUnit)));
    EXPECT_TRUE(std::isnan(out.values()[0]));
    // A copy over the boundary between two pieces.
    const std::vector<float> values = {1, 2, 3, 4};
    std::vector<float> read(4);
    ASSERT_CUDA(cudaMemcpy(at(kUnit - 8), values.data(), 16, cudaMemcpyHostToDevice));
    ASSERT_CUDA(cudaMemcpy(read.data(), at(kUnit - 8), 16, cudaMemcpyDeviceToHost));
    EXPECT_EQ(read, values);
    ASSERT_CUDA(run(copy_value, 1, 1, 0, at(2 * kUnit), at(kUnit)));
    ASSERT_CUDA(cudaMemcpy(read.data(), at(2 * kUnit), 4, cudaMemcpyDeviceToHost));
    EXPECT_EQ(read[0], 3);
    EXPECT_CUDA(cudaErrorInvalidValue, cudaMemset(at(3 * kUnit - 4), 0, 8)) << "the half of it is not mapped";
    EXPECT_CUDA(cudaErrorInvalidValue, cudaFree(at(0)));
    EXPECT_EQ(DRIVER(cuMemUnmap)(base_, 3 * kUnit), CUDA_SUCCESS) << "both at once";
    map(0, kUnit);
    ASSERT_CUDA(cudaMemcpy(read.data(), at(kUnit - 8), 8, cudaMemcpyDeviceToHost));
    EXPECT_TRUE(std::isnan(read[0])) << "it is other memory";
}

TEST_F(VirtualMemoryTest, WhatIsNotMappedOrPermittedFaults) {
    map(0, kUnit);
    const CUmemGenericAllocationHandle memory = create(kUnit);
    EXPECT_EQ(DRIVER(cuMemMap)(base_ + kUnit, kUnit, 0, memory, 0), CUDA_SUCCESS);
    const DeviceArray<float> out(1);
    EXPECT_DEATH(run(copy_value, 1, 1, 0, out.data(), at(kUnit)), "");
    EXPECT_CUDA(cudaErrorInvalidValue, cudaMemset(at(kUnit), 0, 4));
    EXPECT_DEATH(run(copy_value, 1, 1, 0, out.data(), at(2 * kUnit)), "");
    EXPECT_DEATH(*static_cast<volatile float *>(at(0)) = 1, "") << "the host";
    EXPECT_EQ(permit(kUnit, kUnit), CUDA_SUCCESS);
    ASSERT_CUDA(run(copy_value, 1, 1, 0, out.data(), at(kUnit)));
    EXPECT_EQ(permit(kUnit, kUnit, CU_MEM_ACCESS_FLAGS_PROT_NONE), CUDA_SUCCESS);
    EXPECT_DEATH(run(copy_value, 1, 1, 0, out.data(), at(kUnit)), "");
    EXPECT_EQ(DRIVER(cuMemUnmap)(base_, kUnit), CUDA_SUCCESS);
    EXPECT_DEATH(run(copy_value, 1, 1, 0, out.data(), at(0)), "");
}

TEST_F(VirtualMemoryTest, MisuseIsRefused) {
    const CUmemGenericAllocationHandle memory = create(kUnit);
    CUmemGenericAllocationHandle none = 0;
    const CUmemAllocationProp elsewhere = on_device(1), here = on_device(0);
    size_t granularity = 0;
    EXPECT_EQ(DRIVER(cuMemGetAllocationGranularity)(&granularity, &here, CU_MEM_ALLOC_GRANULARITY_MINIMUM),
              CUDA_SUCCESS);
    EXPECT_EQ(granularity, kUnit);
    EXPECT_EQ(DRIVER(cuMemGetAllocationGranularity)(&granularity, &elsewhere, CU_MEM_ALLOC_GRANULARITY_MINIMUM),
              CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(DRIVER(cuMemCreate)(&none, kUnit + 1, &here, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(DRIVER(cuMemCreate)(&none, kUnit, &elsewhere, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(DRIVER(cuMemMap)(base_ + 1, kUnit, 0, memory, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(DRIVER(cuMemMap)(base_, 2 * kUnit, 0, memory, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(DRIVER(cuMemMap)(base_ + kReserved, kUnit, 0, memory, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(DRIVER(cuMemMap)(base_, kUnit, 0, memory + 1, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(DRIVER(cuMemMap)(base_, kUnit, 0, memory, 0), CUDA_SUCCESS);
    EXPECT_EQ(DRIVER(cuMemMap)(base_ + kUnit, kUnit, 0, memory, 0), CUDA_ERROR_NOT_SUPPORTED) << "mapped twice";
    EXPECT_EQ(DRIVER(cuMemMap)(base_, kUnit, 0, create(kUnit), 0), CUDA_ERROR_INVALID_VALUE) << "taken";
    EXPECT_EQ(permit(kUnit, kUnit), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(DRIVER(cuMemUnmap)(base_, 2 * kUnit), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(DRIVER(cuMemUnmap)(base_ + kUnit, kUnit), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(DRIVER(cuMemAddressFree)(base_, kReserved), CUDA_ERROR_INVALID_VALUE) << "something is mapped";
    EXPECT_EQ(DRIVER(cuMemUnmap)(base_, kUnit), CUDA_SUCCESS);
    EXPECT_EQ(DRIVER(cuMemAddressFree)(base_, kUnit), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(DRIVER(cuMemAddressFree)(base_, kReserved), CUDA_SUCCESS);
    EXPECT_EQ(DRIVER(cuMemAddressReserve)(&base_, kUnit + 1, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_CUDA(cudaSuccess, cudaGetLastError()) << "the driver's errors are none of the runtime";
}

TEST_F(VirtualMemoryTest, ARelaxedCaptureAllowsIt) {
    const TestStream stream;
    const DeviceArray<float> out(1);
    for (const cudaStreamCaptureMode mode : {cudaStreamCaptureModeRelaxed, cudaStreamCaptureModeGlobal}) {
        ASSERT_CUDA(cudaStreamBeginCapture(stream, mode));
        cudaGraph_t graph = nullptr;
        if (mode == cudaStreamCaptureModeGlobal) {
            CUmemGenericAllocationHandle memory = 0;
            const CUmemAllocationProp properties = on_device(0);
            EXPECT_NE(DRIVER(cuMemCreate)(&memory, kUnit, &properties, 0), CUDA_SUCCESS);
            EXPECT_CUDA(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));
            continue;
        }
        map(0, kUnit);
        launch(copy_value, 1, 1, 0, stream, out.data(), at(0));
        ASSERT_CUDA(cudaStreamEndCapture(stream, &graph));
        cudaGraphExec_t executable = nullptr;
        ASSERT_CUDA(cudaGraphInstantiate(&executable, graph));
        const float value = 5;
        ASSERT_CUDA(cudaMemcpy(at(0), &value, 4, cudaMemcpyHostToDevice));
        ASSERT_CUDA(cudaGraphLaunch(executable, stream));
        ASSERT_CUDA(stream.synchronize());
        EXPECT_EQ(out.values()[0], 5);
        cudaGraphExecDestroy(executable);
        cudaGraphDestroy(graph);
    }
}

} // namespace
} // namespace mezzo::cuda_sim::testing
