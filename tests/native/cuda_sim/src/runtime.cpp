// SPDX-License-Identifier: MIT
#include "runtime.h"

#include "block.h"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <sstream>
#include <utility>

namespace mezzo::cuda_sim {
namespace {

constexpr int kOldestDriver = 12000; // that a program built with the 12.4 toolkit runs on

uint64_t current_seed = 0;

uint64_t first_seed() {
    const char *text = std::getenv("MEZZO_SIM_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 0) : std::random_device()();
}

/// Replaced by MachineScope alone. Never destroyed: static objects of the program may still free device memory when
/// it ends.
Runtime *active = nullptr;

std::mutex &runtime_mutex() {
    static std::mutex &mutex = *new std::mutex;
    return mutex;
}

template <class T>
void clear_handles(std::set<T *> &handles) {
    for (T *handle : handles) delete handle;
    handles.clear();
}

int64_t environment_number(const char *name, int64_t otherwise) {
    const char *text = std::getenv(name);
    return text != nullptr ? std::strtoll(text, nullptr, 0) : otherwise;
}

/// What a process begins with.
Runtime *first_runtime() {
    current_seed = first_seed();
    randomness = Random(current_seed);
    return new Runtime(machine_from_environment());
}

} // namespace

Runtime &open_runtime() {
    if (active == nullptr) active = first_runtime();
    return *active;
}

Runtime::Runtime(const Machine &described) : machine(described) {
    std::istringstream archs(machine.arch);
    std::string arch;
    for (int i = 0; i < machine.devices; ++i) {
        if (std::string next; std::getline(archs, next, ',')) arch = next;
        devices.push_back(std::make_unique<Device>(i, model_of(arch), machine.memory));
    }
}

Runtime::~Runtime() {
    for (const auto &device : devices) abandon(*this, *device);
    for (const auto &capture : captures) end_capture(*capture);
    captures.clear();
    // Graphs before devices: they give memory back.
    clear_handles(executables);
    clear_handles(graphs);
    clear_handles(events);
    for (const Stream *stream : streams) delete stream;
    for (const auto &[pointer, bytes] : pinned) std::free(pointer);
}

Session::Session() : lock_(runtime_mutex()) {
    open_runtime();
}

Session::~Session() {
    // Without a protection key closing takes as long as there are pages in use. Where they are many it is done now and
    // then only, by numbers of its own: the schedule is the same with keys.
    constexpr size_t kCheapBytes = size_t{64} << 20;
    static Random chance(1);
    for (const auto &device : open_runtime().devices) {
        const size_t bytes = device->arena.bytes_to_close();
        if (bytes <= kCheapBytes || chance.one_in(static_cast<uint32_t>(1 + bytes / kCheapBytes)))
            device->arena.close();
    }
}

void Runtime::close() {
    for (const auto &device : devices) device->arena.close();
}

Runtime *Session::operator->() const {
    return &open_runtime();
}

Runtime &Session::operator*() const {
    return open_runtime();
}

int &current_ordinal() {
    thread_local int ordinal = 0;
    return ordinal;
}

Device *Runtime::device(int ordinal) {
    return ordinal >= 0 && static_cast<size_t>(ordinal) < devices.size() ? devices[static_cast<size_t>(ordinal)].get()
                                                                         : nullptr;
}

Device &Runtime::current_device() {
    // A machine of fewer devices may have been configured since cudaSetDevice().
    if (device(current_ordinal()) == nullptr) current_ordinal() = 0;
    return *device(current_ordinal());
}

Stream *Runtime::stream(cudaStream_t handle) {
    if (handle == nullptr) return &current_device().legacy_stream;
    auto *stream = reinterpret_cast<Stream *>(handle);
    return std::find(streams.begin(), streams.end(), stream) != streams.end() ? stream : nullptr;
}

Event *Runtime::event(cudaEvent_t handle) {
    auto *event = reinterpret_cast<Event *>(handle);
    return events.contains(event) ? event : nullptr;
}

std::vector<Stream *> Runtime::streams_of(int ordinal) {
    std::vector<Stream *> result = {&device(ordinal)->legacy_stream};
    for (Stream *stream : streams) {
        if (stream->device == ordinal) result.push_back(stream);
    }
    return result;
}

Device *Runtime::owner_of(const void *pointer) {
    for (const auto &device : devices) {
        if (device->arena.covers(pointer)) return device.get();
    }
    return nullptr;
}

cudaError_t driver_error(const Runtime &runtime) {
    if (runtime.machine.driver < kOldestDriver) return cudaErrorInsufficientDriver;
    return runtime.devices.empty() ? cudaErrorNoDevice : cudaSuccess;
}

bool is_sticky(cudaError_t error) {
    switch (error) {
        case cudaErrorECCUncorrectable:
        case cudaErrorIllegalAddress:
        case cudaErrorLaunchTimeout:
        case cudaErrorAssert:
        case cudaErrorHardwareStackError:
        case cudaErrorIllegalInstruction:
        case cudaErrorMisalignedAddress:
        case cudaErrorInvalidAddressSpace:
        case cudaErrorInvalidPc:
        case cudaErrorLaunchFailure:
            return true;
        default:
            return false;
    }
}

cudaError_t take_injected(Runtime &runtime, Call call) {
    const cudaError_t error = std::exchange(runtime.injected.at(static_cast<size_t>(call)), cudaSuccess);
    if (is_sticky(error)) {
        Device &device = runtime.current_device();
        device.fault = error;
        abandon(runtime, device);
    }
    return error;
}

Machine machine_from_environment() {
    Machine machine;
    machine.devices = static_cast<int>(environment_number("MEZZO_SIM_DEVICES", machine.devices));
    machine.driver = static_cast<int>(environment_number("MEZZO_SIM_DRIVER", machine.driver));
    machine.memory = static_cast<size_t>(environment_number("MEZZO_SIM_MEMORY", static_cast<int64_t>(machine.memory)));
    machine.virtual_memory = environment_number("MEZZO_SIM_VIRTUAL_MEMORY", machine.virtual_memory ? 1 : 0) != 0;
    if (const char *arch = std::getenv("MEZZO_SIM_ARCH")) machine.arch = arch;
    return machine;
}

void configure(const Machine &machine) {
    const Session session;
    delete std::exchange(active, new Runtime(machine));
}

struct MachineScope::Previous {
    Runtime *runtime;
    int ordinal;
    uint64_t seed;
    Random randomness;
};

MachineScope::MachineScope(const Machine &machine) {
    const Session session;
    previous_ = std::make_unique<Previous>(Previous{active, current_ordinal(), current_seed, randomness});
    active->close();
    active = new Runtime(machine);
    current_ordinal() = 0;
    forget_error();
}

MachineScope::~MachineScope() {
    const Session session;
    delete std::exchange(active, previous_->runtime);
    current_ordinal() = previous_->ordinal;
    current_seed = previous_->seed;
    randomness = previous_->randomness;
    forget_error();
}

void reset() {
    const Session session;
    for (const auto &device : session->devices) {
        abandon(*session, *device);
        device->fault = cudaSuccess;
    }
    for (const auto &capture : session->captures) end_capture(*capture);
    session->captures.clear();
    session->injected = {};
    forget_error();
}

void inject(cudaError_t error, Call call) {
    const Session session;
    session->injected.at(static_cast<size_t>(call)) = error;
}

uint64_t seed() {
    // Without a session, because reports ask for it while one is open.
    if (active == nullptr) open_runtime();
    return current_seed;
}

void set_seed(uint64_t seed) {
    const Session session;
    current_seed = seed;
    randomness = Random(seed);
}

Counters counters() {
    const Session session;
    const Counters &all = session->counters;
    const Counters &since = session->marked;
    return {all.kernels - since.kernels,
            all.graph_launches - since.graph_launches,
            all.synchronizations - since.synchronizations,
            all.copies_to_host - since.copies_to_host,
            all.allocations - since.allocations,
            all.contexts - since.contexts};
}

void mark() {
    const Session session;
    session->marked = session->counters;
}

} // namespace mezzo::cuda_sim
