// SPDX-License-Identifier: MIT
// Types and constants of the runtime API, with CUDA's names and values (tests/api_values_test.cpp holds them).
#pragma once

#include "cuda_sim/vector_types.h"

#include <cstddef>

// name, value, text of cudaGetErrorString()
#define CUDA_SIM_ERRORS(X)                                                                                    \
    X(cudaSuccess, 0, "no error")                                                                             \
    X(cudaErrorInvalidValue, 1, "invalid argument")                                                           \
    X(cudaErrorMemoryAllocation, 2, "out of memory")                                                          \
    X(cudaErrorInitializationError, 3, "initialization error")                                                \
    X(cudaErrorInvalidConfiguration, 9, "invalid configuration argument")                                     \
    X(cudaErrorInvalidMemcpyDirection, 21, "invalid copy direction for memcpy")                               \
    X(cudaErrorInsufficientDriver, 35, "CUDA driver version is insufficient for CUDA runtime version")        \
    X(cudaErrorInvalidDeviceFunction, 98, "invalid device function")                                          \
    X(cudaErrorNoDevice, 100, "no CUDA-capable device is detected")                                           \
    X(cudaErrorInvalidDevice, 101, "invalid device ordinal")                                                  \
    X(cudaErrorDeviceUninitialized, 201, "invalid device context")                                            \
    X(cudaErrorNoKernelImageForDevice, 209, "no kernel image is available for execution on the device")       \
    X(cudaErrorUnsupportedPtxVersion, 222, "the provided PTX was compiled with an unsupported toolchain.")    \
    X(cudaErrorECCUncorrectable, 214, "uncorrectable ECC error encountered")                                  \
    X(cudaErrorNvlinkUncorrectable, 220, "uncorrectable NVLink error detected during the execution")          \
    X(cudaErrorInvalidResourceHandle, 400, "invalid resource handle")                                         \
    X(cudaErrorIllegalState, 401, "the operation cannot be performed in the present state")                   \
    X(cudaErrorNotReady, 600, "device not ready")                                                             \
    X(cudaErrorIllegalAddress, 700, "an illegal memory access was encountered")                               \
    X(cudaErrorLaunchOutOfResources, 701, "too many resources requested for launch")                          \
    X(cudaErrorLaunchTimeout, 702, "the launch timed out and was terminated")                                 \
    X(cudaErrorPeerAccessAlreadyEnabled, 704, "peer access is already enabled")                               \
    X(cudaErrorPeerAccessNotEnabled, 705, "peer access has not been enabled")                                 \
    X(cudaErrorContextIsDestroyed, 709, "context is destroyed")                                               \
    X(cudaErrorAssert, 710, "device-side assert triggered")                                                   \
    X(cudaErrorHardwareStackError, 714, "hardware stack error")                                               \
    X(cudaErrorIllegalInstruction, 715, "an illegal instruction was encountered")                             \
    X(cudaErrorMisalignedAddress, 716, "misaligned address")                                                  \
    X(cudaErrorInvalidAddressSpace, 717, "operation not supported on global/shared address space")            \
    X(cudaErrorInvalidPc, 718, "invalid program counter")                                                     \
    X(cudaErrorLaunchFailure, 719, "unspecified launch failure")                                              \
    X(cudaErrorNotPermitted, 800, "operation not permitted")                                                  \
    X(cudaErrorNotSupported, 801, "operation not supported")                                                  \
    X(cudaErrorMpsClientTerminated, 810, "the MPS client was terminated")                                     \
    X(cudaErrorStreamCaptureUnsupported, 900, "operation not permitted when stream is capturing")             \
    X(cudaErrorStreamCaptureInvalidated, 901, "operation failed due to a previous error during capture")      \
    X(cudaErrorStreamCaptureMerge, 902, "operation would result in a merge of separate capture sequences")    \
    X(cudaErrorStreamCaptureUnmatched, 903, "capture was not ended in the same stream as it began")           \
    X(cudaErrorStreamCaptureUnjoined, 904, "capturing stream has unjoined work")                              \
    X(cudaErrorStreamCaptureIsolation, 905, "dependency created on uncaptured work in another stream")        \
    X(cudaErrorStreamCaptureImplicit, 906,                                                                    \
      "operation would make the legacy stream depend on a capturing blocking stream")                         \
    X(cudaErrorCapturedEvent, 907, "operation not permitted on an event last recorded in a capturing stream") \
    X(cudaErrorStreamCaptureWrongThread, 908,                                                                 \
      "attempt to terminate a thread-local capture sequence from another thread")                             \
    X(cudaErrorExternalDevice, 911, "an operation on an external device failed")                              \
    X(cudaErrorUnknown, 999, "unknown error")

enum cudaError {
#define CUDA_SIM_ERROR_VALUE(name, value, text) name = value,
    CUDA_SIM_ERRORS(CUDA_SIM_ERROR_VALUE)
#undef CUDA_SIM_ERROR_VALUE
};
using cudaError_t = cudaError;

using cudaStream_t = struct CUstream_st *;
using cudaEvent_t = struct CUevent_st *;
using cudaGraph_t = struct CUgraph_st *;
using cudaGraphExec_t = struct CUgraphExec_st *;
using cudaGraphNode_t = struct CUgraphNode_st *;
using cudaMemPool_t = struct CUmemPoolHandle_st *;

enum cudaMemcpyKind {
    cudaMemcpyHostToHost = 0,
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3,
    cudaMemcpyDefault = 4,
};

inline constexpr unsigned int cudaStreamDefault = 0;
inline constexpr unsigned int cudaStreamNonBlocking = 1;
inline constexpr unsigned int cudaEventDefault = 0;
inline constexpr unsigned int cudaEventBlockingSync = 1;
inline constexpr unsigned int cudaEventDisableTiming = 2;

enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal = 0,
    cudaStreamCaptureModeThreadLocal = 1,
    cudaStreamCaptureModeRelaxed = 2,
};

enum cudaStreamCaptureStatus {
    cudaStreamCaptureStatusNone = 0,
    cudaStreamCaptureStatusActive = 1,
    cudaStreamCaptureStatusInvalidated = 2,
};

enum cudaMemPoolAttr {
    cudaMemPoolReuseFollowEventDependencies = 1,
    cudaMemPoolReuseAllowOpportunistic = 2,
    cudaMemPoolReuseAllowInternalDependencies = 3,
    cudaMemPoolAttrReleaseThreshold = 4,
};

enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
    cudaFuncAttributePreferredSharedMemoryCarveout = 9,
};

enum cudaGetDriverEntryPointFlags {
    cudaEnableDefault = 0,
};

enum cudaDriverEntryPointQueryResult {
    cudaDriverEntryPointSuccess = 0,
    cudaDriverEntryPointSymbolNotFound = 1,
    cudaDriverEntryPointVersionNotSufficent = 2,
};

enum cudaComputeMode {
    cudaComputeModeDefault = 0,
    cudaComputeModeExclusive = 1,
    cudaComputeModeProhibited = 2,
    cudaComputeModeExclusiveProcess = 3
};

enum cudaDeviceAttr {
    cudaDevAttrMaxThreadsPerBlock = 1,
    cudaDevAttrMaxBlockDimX = 2,
    cudaDevAttrMaxBlockDimY = 3,
    cudaDevAttrMaxBlockDimZ = 4,
    cudaDevAttrMaxGridDimX = 5,
    cudaDevAttrMaxGridDimY = 6,
    cudaDevAttrMaxGridDimZ = 7,
    cudaDevAttrMaxSharedMemoryPerBlock = 8,
    cudaDevAttrWarpSize = 10,
    cudaDevAttrMaxRegistersPerBlock = 12,
    cudaDevAttrClockRate = 13,
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrIntegrated = 18,
    cudaDevAttrComputeMode = 20,
    cudaDevAttrConcurrentKernels = 31,
    cudaDevAttrMemoryClockRate = 36,
    cudaDevAttrGlobalMemoryBusWidth = 37,
    cudaDevAttrL2CacheSize = 38,
    cudaDevAttrMaxThreadsPerMultiProcessor = 39,
    cudaDevAttrAsyncEngineCount = 40,
    cudaDevAttrUnifiedAddressing = 41,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
    cudaDevAttrMaxRegistersPerMultiprocessor = 82,
    cudaDevAttrManagedMemory = 83,
    cudaDevAttrCooperativeLaunch = 95,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
    cudaDevAttrMaxBlocksPerMultiprocessor = 106,
    cudaDevAttrMemoryPoolsSupported = 115,
};

/// The fields that the project reads; CUDA's struct has many more.
struct cudaFuncAttributes {
    int ptxVersion;    // 10 * major + minor of the virtual architecture
    int binaryVersion; // the same of the real one
};

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    size_t sharedMemPerBlock;
    int regsPerBlock;
    int warpSize;
    int maxThreadsPerBlock;
    int major;
    int minor;
    int multiProcessorCount;
    int l2CacheSize;
    int maxThreadsPerMultiProcessor;
    size_t sharedMemPerMultiprocessor;
    int regsPerMultiprocessor;
    size_t sharedMemPerBlockOptin;
};
