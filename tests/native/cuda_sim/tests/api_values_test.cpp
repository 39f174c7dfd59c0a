// SPDX-License-Identifier: MIT
// The constants of the simulated runtime and driver APIs against the toolkit's own headers, where eng/cuda-toolkit.sh
// or CUDA_HOME has one.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <gtest/gtest.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace mezzo::cuda_sim::testing {
namespace {

namespace fs = std::filesystem;

fs::path find_header(const char *name) {
    if (const char *home = std::getenv("CUDA_HOME")) {
        const fs::path path = fs::path(home) / "include" / name;
        if (fs::exists(path)) return path;
    }
    const fs::path cache = fs::path(__FILE__).parent_path() / "../../../../.cache/cuda";
    std::error_code error;
    for (const fs::directory_entry &version : fs::directory_iterator(cache, error)) {
        const fs::path path = version.path() / "include" / name;
        if (fs::exists(path)) return path;
    }
    return {};
}

std::string read_text(const fs::path &path) {
    std::ifstream stream(path);
    std::stringstream buffer;
    buffer << stream.rdbuf();
    return buffer.str();
}

/// The number in "name = number" or "#define name number", -1 when there is none.
long constant_in(const std::string &text, const std::string &name) {
    for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
        size_t end = at + name.size();
        const bool is_word = at > 0 && std::isspace(static_cast<unsigned char>(text[at - 1])) != 0 &&
                             std::isspace(static_cast<unsigned char>(text[end])) != 0;
        if (!is_word) continue;
        end = text.find_first_not_of(" \t=", end);
        if (std::isdigit(static_cast<unsigned char>(text[end])) != 0)
            return std::stol(text.substr(end, 16), nullptr, 0);
    }
    return -1;
}

TEST(ApiValuesTest, ConstantsAreThoseOfTheToolkit) {
    const fs::path path = find_header("driver_types.h");
    if (path.empty()) return; // no toolkit here to compare with
    const std::string header = read_text(path);
    const auto expect = [&](const char *name, long value) { EXPECT_EQ(constant_in(header, name), value) << name; };
#define EXPECT_CONSTANT(name, value, text) expect(#name, value);
    CUDA_SIM_ERRORS(EXPECT_CONSTANT)
#undef EXPECT_CONSTANT
#define EXPECT_CONSTANT(name) expect(#name, static_cast<long>(name))
    EXPECT_CONSTANT(cudaMemcpyHostToHost);
    EXPECT_CONSTANT(cudaMemcpyHostToDevice);
    EXPECT_CONSTANT(cudaMemcpyDeviceToHost);
    EXPECT_CONSTANT(cudaMemcpyDeviceToDevice);
    EXPECT_CONSTANT(cudaMemcpyDefault);
    EXPECT_CONSTANT(cudaStreamDefault);
    EXPECT_CONSTANT(cudaStreamNonBlocking);
    EXPECT_CONSTANT(cudaEventDefault);
    EXPECT_CONSTANT(cudaEventBlockingSync);
    EXPECT_CONSTANT(cudaEventDisableTiming);
    EXPECT_CONSTANT(cudaStreamCaptureModeGlobal);
    EXPECT_CONSTANT(cudaStreamCaptureModeThreadLocal);
    EXPECT_CONSTANT(cudaStreamCaptureModeRelaxed);
    EXPECT_CONSTANT(cudaStreamCaptureStatusNone);
    EXPECT_CONSTANT(cudaStreamCaptureStatusActive);
    EXPECT_CONSTANT(cudaStreamCaptureStatusInvalidated);
    EXPECT_CONSTANT(cudaMemPoolReuseFollowEventDependencies);
    EXPECT_CONSTANT(cudaMemPoolReuseAllowOpportunistic);
    EXPECT_CONSTANT(cudaMemPoolReuseAllowInternalDependencies);
    EXPECT_CONSTANT(cudaMemPoolAttrReleaseThreshold);
    EXPECT_CONSTANT(cudaFuncAttributeMaxDynamicSharedMemorySize);
    EXPECT_CONSTANT(cudaFuncAttributePreferredSharedMemoryCarveout);
    EXPECT_CONSTANT(cudaDevAttrMaxThreadsPerBlock);
    EXPECT_CONSTANT(cudaDevAttrMaxBlockDimX);
    EXPECT_CONSTANT(cudaDevAttrMaxBlockDimY);
    EXPECT_CONSTANT(cudaDevAttrMaxBlockDimZ);
    EXPECT_CONSTANT(cudaDevAttrMaxGridDimX);
    EXPECT_CONSTANT(cudaDevAttrMaxGridDimY);
    EXPECT_CONSTANT(cudaDevAttrMaxGridDimZ);
    EXPECT_CONSTANT(cudaDevAttrMaxSharedMemoryPerBlock);
    EXPECT_CONSTANT(cudaDevAttrWarpSize);
    EXPECT_CONSTANT(cudaDevAttrMaxRegistersPerBlock);
    EXPECT_CONSTANT(cudaDevAttrClockRate);
    EXPECT_CONSTANT(cudaDevAttrMultiProcessorCount);
    EXPECT_CONSTANT(cudaDevAttrIntegrated);
    EXPECT_CONSTANT(cudaDevAttrConcurrentKernels);
    EXPECT_CONSTANT(cudaDevAttrMemoryClockRate);
    EXPECT_CONSTANT(cudaDevAttrGlobalMemoryBusWidth);
    EXPECT_CONSTANT(cudaDevAttrL2CacheSize);
    EXPECT_CONSTANT(cudaDevAttrMaxThreadsPerMultiProcessor);
    EXPECT_CONSTANT(cudaDevAttrAsyncEngineCount);
    EXPECT_CONSTANT(cudaDevAttrUnifiedAddressing);
    EXPECT_CONSTANT(cudaDevAttrComputeCapabilityMajor);
    EXPECT_CONSTANT(cudaDevAttrComputeCapabilityMinor);
    EXPECT_CONSTANT(cudaDevAttrMaxSharedMemoryPerMultiprocessor);
    EXPECT_CONSTANT(cudaDevAttrMaxRegistersPerMultiprocessor);
    EXPECT_CONSTANT(cudaDevAttrManagedMemory);
    EXPECT_CONSTANT(cudaDevAttrCooperativeLaunch);
    EXPECT_CONSTANT(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    EXPECT_CONSTANT(cudaDevAttrMaxBlocksPerMultiprocessor);
    EXPECT_CONSTANT(cudaDevAttrMemoryPoolsSupported);
    EXPECT_CONSTANT(cudaEnableDefault);
    EXPECT_CONSTANT(cudaDriverEntryPointSuccess);
    EXPECT_CONSTANT(cudaDriverEntryPointSymbolNotFound);
    EXPECT_CONSTANT(cudaDriverEntryPointVersionNotSufficent);
#undef EXPECT_CONSTANT
}

TEST(ApiValuesTest, ConstantsOfTheDriverAreThoseOfTheToolkit) {
    const fs::path path = find_header("cuda.h");
    if (path.empty()) return; // no toolkit here to compare with
    const std::string header = read_text(path);
#define EXPECT_CONSTANT(name) EXPECT_EQ(constant_in(header, #name), static_cast<long>(name)) << #name
    EXPECT_CONSTANT(CUDA_SUCCESS);
    EXPECT_CONSTANT(CUDA_ERROR_INVALID_VALUE);
    EXPECT_CONSTANT(CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_CONSTANT(CUDA_ERROR_INVALID_DEVICE);
    EXPECT_CONSTANT(CUDA_ERROR_NOT_SUPPORTED);
    EXPECT_CONSTANT(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED);
    EXPECT_CONSTANT(CU_MEM_ALLOCATION_TYPE_INVALID);
    EXPECT_CONSTANT(CU_MEM_ALLOCATION_TYPE_PINNED);
    EXPECT_CONSTANT(CU_MEM_LOCATION_TYPE_INVALID);
    EXPECT_CONSTANT(CU_MEM_LOCATION_TYPE_DEVICE);
    EXPECT_CONSTANT(CU_MEM_ACCESS_FLAGS_PROT_NONE);
    EXPECT_CONSTANT(CU_MEM_ACCESS_FLAGS_PROT_READ);
    EXPECT_CONSTANT(CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    EXPECT_CONSTANT(CU_MEM_ALLOC_GRANULARITY_MINIMUM);
    EXPECT_CONSTANT(CU_MEM_ALLOC_GRANULARITY_RECOMMENDED);
#undef EXPECT_CONSTANT
}

} // namespace
} // namespace mezzo::cuda_sim::testing
