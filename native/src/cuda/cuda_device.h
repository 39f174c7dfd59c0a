// SPDX-License-Identifier: MIT
// An NVIDIA GPU as a device: one stream for its work, another for copies in host memory; memory from CUDA's
// stream-ordered pool, captures by CUDA graphs.
#pragma once

#include "core/device.h"

#include <cuda_runtime_api.h>

#include <memory>
#include <mutex>
#include <string>

namespace mezzo {

/// What the choice of a kernel depends on.
struct CudaMachine {
    int arch;           // 10 * major + minor of the compute capability
    int code_arch;      // that kernels are compiled for here, arch or less
    int processors;     // streaming multiprocessors
    int64_t shared_max; // bytes of shared memory that one block can have
    int64_t l2_bytes;
};

/// A stream of one device, destroyed with its owner.
class CudaStream {
  public:
    explicit CudaStream(int ordinal);
    ~CudaStream();
    CudaStream(const CudaStream &) = delete;
    CudaStream &operator=(const CudaStream &) = delete;

    cudaStream_t get() const { return stream_; }
    void synchronize() const;

    /// From here to cudaStreamEndCapture() what is issued to the stream is recorded.
    void begin_capture();

    /// Waits for the work issued, where CUDA allows it; a capture begins after such a wait, so that there is none then.
    void wait_unless_captured() noexcept;

  private:
    cudaStream_t stream_ = nullptr;
    std::mutex begin_mutex_; // no capture begins between the question and the wait
};

/// An event of one device that tells nothing but order.
class CudaEvent {
  public:
    explicit CudaEvent(int ordinal);
    ~CudaEvent();
    CudaEvent(const CudaEvent &) = delete;
    CudaEvent &operator=(const CudaEvent &) = delete;

    cudaEvent_t get() const { return event_; }

  private:
    cudaEvent_t event_ = nullptr;
};

class CudaDevice final : public Device {
  public:
    /// `index` is the device's number for Mezzo, `ordinal` CUDA's, which also counts those that cannot be used.
    CudaDevice(int index, int ordinal, std::string name, const CudaMachine &machine);

    const CudaMachine &machine() const { return machine_; }

    /// The stream that all work goes to. The device is the calling thread's current one afterwards.
    cudaStream_t stream() const;

    /// The stream of copies in host memory.
    cudaStream_t copy_stream() const { return copies_.get(); }

    mezzo_dtype fast_dtype() const override { return MEZZO_DTYPE_F16; }
    void synchronize() override;
    std::unique_ptr<Recorder> record() override;
    std::shared_ptr<HostTransfer> host_transfer() override;
    void expect_alive() const override;
    void copy_from_host(void *to, const void *from, int64_t bytes) override;
    void copy_to_host(void *to, const void *from, int64_t bytes) override;
    void copy_within(void *to, const void *from, int64_t bytes) override;

    /// Makes the device the calling thread's current one.
    void make_current() const;

    /// Notes why the device is of no more use; only the first cause counts.
    void lose(const std::string &cause) const noexcept;

  private:
    struct Loss;

    CudaDevice(int index, int ordinal, std::string name, const CudaMachine &machine,
               std::shared_ptr<CudaStream> stream);

    int ordinal_;
    CudaMachine machine_;
    std::shared_ptr<CudaStream> stream_;
    CudaStream copies_;
    std::shared_ptr<Loss> loss_;
};

/// The device that an op's implementation for CUDA was called with.
inline CudaDevice &cuda_device(Device &device) {
    return static_cast<CudaDevice &>(device);
}

/// Looks for devices, each time anew, without a context on any of them.
DeviceSearch find_cuda_devices();

/// The lowest compute capability, as in 75, that this build has kernels for.
int oldest_compiled_arch();

/// The compute capability, as in 80, of the PTX that the current device's code was made from; 0 when this build has
/// none that it can run.
int compiled_arch();

} // namespace mezzo
