// SPDX-License-Identifier: MIT
// The host processor as a device: memory from the C library, work finished when a call returns.
#include "core/device.h"
#include "core/host_poison.h"
#include "core/host_range.h"
#include "core/system_memory.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <vector>

#include <unistd.h>

namespace mezzo {
namespace {

// An operating system that overcommits grants more than it has and kills the process later; asking for
// more than the machine holds is refused here instead.
int64_t physical_bytes() {
    static const int64_t bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
    return bytes;
}

std::string processor_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
        const size_t colon = line.find(": ");
        if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
    }
    return "CPU";
}

class HostMemory final : public MemorySource {
  public:
    void *allocate_block(int64_t bytes) noexcept override {
        if (bytes > physical_bytes()) return nullptr;
        return std::aligned_alloc(static_cast<size_t>(kMemoryAlignment), static_cast<size_t>(bytes));
    }
    void free_block(void *block, int64_t bytes) noexcept override {
        unpoison(block, bytes);
        std::free(block);
    }
    bool captures_scratch() const override { return false; }
    int64_t free_bytes() noexcept override {
        try {
            return available_system_memory();
        } catch (...) { // no memory to read it with
            return -1;
        }
    }
    std::unique_ptr<MemoryRange> reserve_range() override { return reserve_host_range(physical_bytes()); }
    void on_use(void *block, int64_t bytes, int64_t block_bytes, bool) noexcept override {
        poison_for_use(block, bytes, block_bytes);
    }
    void on_rest(void *block, int64_t block_bytes) noexcept override { poison_for_rest(block, block_bytes); }
};

class HostRecording final : public Recording {
  public:
    explicit HostRecording(std::vector<std::function<void()>> work) : work_(std::move(work)) {}
    void replay() override {
        for (const auto &run : work_) run();
    }

  private:
    std::vector<std::function<void()>> work_;
};

class HostRecorder final : public Recorder {
  public:
    void add(const std::function<void()> &work) override { work_.push_back(work); }
    std::unique_ptr<Recording> finish() override { return std::make_unique<HostRecording>(std::move(work_)); }

  private:
    std::vector<std::function<void()>> work_;
};

/// Done when it returns.
class HostToHost final : public HostTransfer {
  public:
    void begin(void *to, const void *from, int64_t bytes) override {
        std::memcpy(to, from, static_cast<size_t>(bytes));
    }
    void order_work_after() override {}
    void finish() noexcept override {}
};

class CpuDevice final : public Device {
  public:
    CpuDevice()
        : Device({MEZZO_DEVICE_TYPE_CPU, 0}, processor_name(), std::make_unique<HostMemory>(),
                 std::make_unique<HostMemory>()) {}

    mezzo_dtype fast_dtype() const override { return MEZZO_DTYPE_BF16; }
    void synchronize() override {}
    std::unique_ptr<Recorder> record() override { return std::make_unique<HostRecorder>(); }
    std::shared_ptr<HostTransfer> host_transfer() override { return std::make_shared<HostToHost>(); }

    void copy_from_host(void *to, const void *from, int64_t bytes) override { copy_within(to, from, bytes); }
    void copy_to_host(void *to, const void *from, int64_t bytes) override { copy_within(to, from, bytes); }
    void copy_within(void *to, const void *from, int64_t bytes) override {
        std::memcpy(to, from, static_cast<size_t>(bytes));
    }
};

DeviceSearch find_cpu() {
    DeviceSearch search;
    search.devices.emplace_back([] { return std::make_unique<CpuDevice>(); });
    return search;
}

const DeviceKind cpu_kind(MEZZO_DEVICE_TYPE_CPU, find_cpu);

} // namespace
} // namespace mezzo
