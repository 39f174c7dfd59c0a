// SPDX-License-Identifier: MIT
// What tests do to the simulated machine.
#pragma once

#include "cuda_sim/api_types.h"

#include <cstdint>
#include <memory>
#include <string>

namespace mezzo::cuda_sim {

/// The machine that the runtime finds. The defaults come from the environment: MEZZO_SIM_DEVICES, MEZZO_SIM_ARCH,
/// MEZZO_SIM_DRIVER, MEZZO_SIM_MEMORY (bytes), MEZZO_SIM_VIRTUAL_MEMORY (0 = none).
struct Machine {
    int devices = 1;
    std::string arch = "9.0";        // compute capability; "6.1,9.0" of two devices, the last one of those that follow
    std::string code_arch = {};      // that kernels are compiled for; the device's own where it says nothing
    int driver = 12040;              // CUDA version of the driver, 0 = none installed
    size_t memory = size_t{2} << 30; // bytes of each device, reserved but not touched
    bool virtual_memory = true;      // whether the devices have virtual memory management
};

/// The machine that the environment describes.
Machine machine_from_environment();

/// Replaces the machine: its devices start empty, all handles and allocations of the previous ones are void.
void configure(const Machine &machine);

/// A machine that exists until the end of a scope. Then the previous one comes back, with its devices, handles, pending
/// work and random choices, so that a test can have any machine in a process that uses another.
class MachineScope {
  public:
    explicit MachineScope(const Machine &machine = Machine());
    ~MachineScope();
    MachineScope(const MachineScope &) = delete;
    MachineScope &operator=(const MachineScope &) = delete;

  private:
    struct Previous;
    std::unique_ptr<Previous> previous_;
};

/// Clears sticky errors, injected errors and unfinished work of all streams. Handles and allocations stay.
void reset();

/// What an injected error strikes.
enum class Call {
    kLaunch,
    kAllocation, // of device memory, by a graph too
    kSynchronization,
    kContext // made by the first cudaSetDevice()
};

/// The next call of this kind answers the error instead of doing its work. An error that CUDA does not recover
/// from (cudaErrorIllegalAddress, cudaErrorLaunchFailure, ...) sticks, as a fault of a kernel would.
void inject(cudaError_t error, Call call);

/// The seed of all random choices: MEZZO_SIM_SEED, else a new one for each process. A test program prints it when a
/// test fails; the simulator prints it with every error of its own.
uint64_t seed();

/// Starts the random choices anew.
void set_seed(uint64_t seed);

/// What the host has asked for.
struct Counters {
    int64_t kernels = 0; // launched outside of captures
    int64_t graph_launches = 0;
    int64_t synchronizations = 0; // of devices, streams and events, and by synchronous copies
    int64_t copies_to_host = 0;   // outside of captures
    int64_t allocations = 0;      // of device memory
    int64_t contexts = 0;         // made on a device, by the first cudaSetDevice()
};

/// Counts since the process began, or since the last call of mark().
Counters counters();
void mark();

} // namespace mezzo::cuda_sim
