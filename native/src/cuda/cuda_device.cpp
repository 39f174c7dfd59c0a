// SPDX-License-Identifier: MIT
#include "cuda/cuda_device.h"

#include "cuda/check.h"
#include "cuda/cuda_host_copy.h"
#include "cuda/cuda_memory.h"

#include <array>
#include <mutex>

namespace mezzo {
namespace {

/// The device that this thread has made current last.
thread_local const CudaDevice *current = nullptr;

class CudaRecording final : public Recording {
  public:
    CudaRecording(CudaDevice &device, cudaGraph_t graph) : device_(device) {
        const cudaError_t status = cudaGraphInstantiate(&graph_, graph, 0);
        cudaGraphDestroy(graph);
        check(status, "cudaGraphInstantiate");
    }
    ~CudaRecording() override { cudaGraphExecDestroy(graph_); }
    CudaRecording(const CudaRecording &) = delete;
    CudaRecording &operator=(const CudaRecording &) = delete;

    void replay() override { check(cudaGraphLaunch(graph_, device_.stream()), "cudaGraphLaunch"); }

  private:
    /// CUDA takes memory for a graph by itself, and does not say how much.
    void check(cudaError_t status, const char *call) const {
        if (status == cudaErrorMemoryAllocation) {
            cudaGetLastError();
            fail(MEZZO_STATUS_OUT_OF_MEMORY, "%s found no memory for the captured ops; %s", call,
                 device_.memory().usage_text().c_str());
        }
        check_cuda(status, call);
    }

    CudaDevice &device_;
    cudaGraphExec_t graph_ = nullptr;
};

/// Puts the device's stream into capture: what ops launch meanwhile is recorded by CUDA itself. The stream of copies
/// joins when it waits for the first event of the capture.
class CudaRecorder final : public Recorder {
  public:
    CudaRecorder(CudaDevice &device, CudaStream &stream, int ordinal)
        : device_(device), stream_(stream), joined_(ordinal) {
        stream_.begin_capture();
    }
    ~CudaRecorder() override {
        if (!finished_) cudaGraphDestroy(end());
    }
    CudaRecorder(const CudaRecorder &) = delete;
    CudaRecorder &operator=(const CudaRecorder &) = delete;

    void add(const std::function<void()> &work) override { work(); }

    std::unique_ptr<Recording> finish() override {
        device_.make_current(); // whose loss an error would be
        cudaError_t status = cudaSuccess;
        cudaGraph_t graph = end(&status);
        check_cuda(status, "cudaStreamEndCapture");
        return std::make_unique<CudaRecording>(device_, graph);
    }

  private:
    cudaGraph_t end(cudaError_t *status = nullptr) {
        finished_ = true;
        join_copies();
        cudaGraph_t graph = nullptr;
        const cudaError_t ended = cudaStreamEndCapture(stream_.get(), &graph);
        if (status != nullptr) *status = ended;
        return graph;
    }

    /// A capture cannot end before the copying that no work waits for. What fails here, its end answers, too.
    void join_copies() {
        cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
        cudaStreamIsCapturing(device_.copy_stream(), &status);
        if (status != cudaStreamCaptureStatusActive) return;
        cudaEventRecord(joined_.get(), device_.copy_stream());
        cudaStreamWaitEvent(stream_.get(), joined_.get(), 0);
    }

    CudaDevice &device_;
    CudaStream &stream_;
    CudaEvent joined_;
    bool finished_ = false;
};

std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// One sentence on why cudaGetDeviceCount() has failed.
std::string missing_text(cudaError_t status) {
    int driver = 0;
    int runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (status == cudaErrorInsufficientDriver && driver == 0) {
        return "no NVIDIA driver is installed (libcuda.so.1 was not found)";
    }
    if (status == cudaErrorInsufficientDriver) {
        // The drivers of one major version serve every runtime of it.
        return "the NVIDIA driver is too old: it serves CUDA " + version_text(driver) + ", expected " +
               version_text(runtime / 1000 * 1000) + " or newer";
    }
    if (status == cudaErrorNoDevice) return "the NVIDIA driver sees no GPU";
    return std::string("CUDA does not start: ") + cudaGetErrorName(status) + ", " + cudaGetErrorString(status);
}

std::string capability_text(const cudaDeviceProp &properties) {
    return std::string(properties.name) + " has compute capability " + std::to_string(properties.major) + "." +
           std::to_string(properties.minor);
}

/// Why a GPU cannot be used; empty when it can. Makes no context on it.
std::string why_not(int ordinal) {
    cudaDeviceProp properties{};
    check_cuda(cudaGetDeviceProperties(&properties, ordinal), "cudaGetDeviceProperties");
    const int oldest = oldest_compiled_arch();
    if (10 * properties.major + properties.minor < oldest) {
        return capability_text(properties) + ", expected " + std::to_string(oldest / 10) + "." +
               std::to_string(oldest % 10) + " or newer";
    }
    int has_pools = 0;
    check_cuda(cudaDeviceGetAttribute(&has_pools, cudaDevAttrMemoryPoolsSupported, ordinal), "cudaDeviceGetAttribute");
    if (has_pools == 0) return std::string(properties.name) + " has no stream-ordered memory pools, which Mezzo needs";
    int mode = cudaComputeModeDefault;
    check_cuda(cudaDeviceGetAttribute(&mode, cudaDevAttrComputeMode, ordinal), "cudaDeviceGetAttribute");
    if (mode == cudaComputeModeProhibited) return std::string(properties.name) + " is in compute mode prohibited";
    return {};
}

/// Makes a context on the GPU, and the GPU the calling thread's current one. To restore another one would make a
/// context on that.
std::unique_ptr<Device> open(int index, int ordinal) {
    current = nullptr; // what goes wrong from here on is not another device's fault
    try {
        cudaDeviceProp properties{};
        check_cuda(cudaGetDeviceProperties(&properties, ordinal), "cudaGetDeviceProperties");
        check_cuda(cudaSetDevice(ordinal), "cudaSetDevice");
        const int code_arch = compiled_arch();
        if (code_arch == 0) {
            fail(MEZZO_STATUS_DEVICE_UNAVAILABLE, "%s, for which this build of libmezzo has no kernels",
                 capability_text(properties).c_str());
        }
        return std::make_unique<CudaDevice>(
            index, ordinal, properties.name,
            CudaMachine{10 * properties.major + properties.minor, code_arch, properties.multiProcessorCount,
                        static_cast<int64_t>(properties.sharedMemPerBlockOptin), properties.l2CacheSize});
    } catch (const Error &error) {
        fail(MEZZO_STATUS_DEVICE_UNAVAILABLE, "%s cannot be opened: %s",
             device_text({MEZZO_DEVICE_TYPE_CUDA, index}).c_str(), error.what());
    }
}

const DeviceKind cuda_kind(MEZZO_DEVICE_TYPE_CUDA, find_cuda_devices);

/// Whether CUDA answers nothing else after this error.
bool is_final(cudaError_t status) {
    constexpr std::array kFinal = {
        cudaErrorIllegalAddress,     cudaErrorLaunchFailure,       cudaErrorAssert,
        cudaErrorIllegalInstruction, cudaErrorMisalignedAddress,   cudaErrorInvalidAddressSpace,
        cudaErrorInvalidPc,          cudaErrorHardwareStackError,  cudaErrorLaunchTimeout,
        cudaErrorECCUncorrectable,   cudaErrorDeviceUninitialized, cudaErrorNvlinkUncorrectable,
        cudaErrorContextIsDestroyed, cudaErrorMpsClientTerminated, cudaErrorExternalDevice};
    for (const cudaError_t final : kFinal) {
        if (status == final) return true;
    }
    return false;
}

mezzo_status status_of(cudaError_t status) {
    if (status == cudaErrorMemoryAllocation) return MEZZO_STATUS_OUT_OF_MEMORY;
    // What breaks a capture, or is refused while there is one.
    if (status >= cudaErrorStreamCaptureUnsupported && status <= cudaErrorStreamCaptureWrongThread) {
        return MEZZO_STATUS_CAPTURE_INVALID;
    }
    return MEZZO_STATUS_INTERNAL;
}

} // namespace

void check_cuda(cudaError_t status, const char *call) {
    if (status == cudaSuccess) return;
    cudaGetLastError(); // forgotten, unless it is final
    const std::string text =
        std::string(call) + " answered " + cudaGetErrorName(status) + ", " + cudaGetErrorString(status);
    if (is_final(status) && current != nullptr) {
        current->lose(text);
        current->expect_alive();
    }
    fail(status_of(status), "%s", text.c_str());
}

CudaStream::CudaStream(int ordinal) {
    check_cuda(cudaSetDevice(ordinal), "cudaSetDevice");
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
}

CudaStream::~CudaStream() {
    cudaStreamDestroy(stream_);
}

void CudaStream::synchronize() const {
    check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

void CudaStream::begin_capture() {
    const std::lock_guard<std::mutex> lock(begin_mutex_);
    // Relaxed: the memory stream and other devices go on working.
    check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
}

void CudaStream::wait_unless_captured() noexcept {
    const std::lock_guard<std::mutex> lock(begin_mutex_);
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    cudaStreamIsCapturing(stream_, &status);
    if (status == cudaStreamCaptureStatusNone) cudaStreamSynchronize(stream_);
}

CudaEvent::CudaEvent(int ordinal) {
    check_cuda(cudaSetDevice(ordinal), "cudaSetDevice");
    check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
}

CudaEvent::~CudaEvent() {
    cudaEventDestroy(event_);
}

/// Why a device is of no more use, if it is.
struct CudaDevice::Loss {
    std::mutex mutex;
    std::atomic<bool> lost{false};
    std::string cause;
};

CudaDevice::CudaDevice(int index, int ordinal, std::string name, const CudaMachine &machine)
    : CudaDevice(index, ordinal, std::move(name), machine, std::make_shared<CudaStream>(ordinal)) {}

CudaDevice::CudaDevice(int index, int ordinal, std::string name, const CudaMachine &machine,
                       std::shared_ptr<CudaStream> stream)
    : Device({MEZZO_DEVICE_TYPE_CUDA, index}, std::move(name), std::make_unique<CudaMemory>(*this, ordinal, stream),
             std::make_unique<PinnedMemory>(*this, ordinal, stream)),
      ordinal_(ordinal),
      machine_(machine),
      stream_(std::move(stream)),
      copies_(ordinal),
      loss_(std::make_shared<Loss>()) {}

void CudaDevice::make_current() const {
    current = this;
    check_cuda(cudaSetDevice(ordinal_), "cudaSetDevice");
}

cudaStream_t CudaDevice::stream() const {
    make_current();
    return stream_->get();
}

void CudaDevice::synchronize() {
    make_current();
    stream_->synchronize();
    copies_.synchronize();
}

std::unique_ptr<Recorder> CudaDevice::record() {
    // Blocks that are freed during the capture may go back to CUDA at once: nothing uses them any more. Nor is there
    // copying that the capture would have to wait for, which CUDA does not allow.
    synchronize();
    return std::make_unique<CudaRecorder>(*this, *stream_, ordinal_);
}

std::shared_ptr<HostTransfer> CudaDevice::host_transfer() {
    make_current(); // whose loss an error would be
    return std::make_shared<CudaHostTransfer>(*this, ordinal_);
}

void CudaDevice::expect_alive() const {
    if (!loss_->lost.load(std::memory_order_acquire)) return;
    fail(MEZZO_STATUS_CONTEXT_LOST, "%s is lost since %s", device_text(id()).c_str(), loss_->cause.c_str());
}

void CudaDevice::lose(const std::string &cause) const noexcept {
    const std::lock_guard<std::mutex> lock(loss_->mutex);
    if (loss_->lost.load(std::memory_order_relaxed)) return;
    try {
        loss_->cause = cause;
    } catch (...) { // no memory for the text
    }
    loss_->lost.store(true, std::memory_order_release);
}

void CudaDevice::copy_from_host(void *to, const void *from, int64_t bytes) {
    check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream()),
               "cudaMemcpyAsync");
    stream_->synchronize(); // the caller may change the data as soon as this returns
}

void CudaDevice::copy_to_host(void *to, const void *from, int64_t bytes) {
    check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream()),
               "cudaMemcpyAsync");
    stream_->synchronize();
}

void CudaDevice::copy_within(void *to, const void *from, int64_t bytes) {
    check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream()),
               "cudaMemcpyAsync");
}

DeviceSearch find_cuda_devices() {
    DeviceSearch search;
    int count = 0;
    if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
        cudaGetLastError();
        search.missing_reason = missing_text(status);
        return search;
    }
    for (int ordinal = 0; ordinal < count; ++ordinal) {
        std::string reason;
        try {
            reason = why_not(ordinal);
        } catch (const Error &error) {
            reason = error.what();
        }
        if (reason.empty()) {
            const auto index = static_cast<int>(search.devices.size());
            search.devices.emplace_back([index, ordinal] { return open(index, ordinal); });
            continue;
        }
        if (!search.missing_reason.empty()) search.missing_reason += "; ";
        search.missing_reason += "GPU " + std::to_string(ordinal) + ": " + reason;
    }
    if (!search.devices.empty()) search.missing_reason.clear();
    return search;
}

} // namespace mezzo
