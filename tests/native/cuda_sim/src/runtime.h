// SPDX-License-Identifier: MIT
// The state behind the runtime API, and what the calls of the API (api_*.cpp) have in common.
#pragma once

#include "device.h"
#include "graph.h"

#include "cuda_sim/control.h"

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

namespace mezzo::cuda_sim {

struct Runtime {
    explicit Runtime(const Machine &described);
    ~Runtime();
    Runtime(const Runtime &) = delete;
    Runtime &operator=(const Runtime &) = delete;

    Machine machine;
    std::vector<std::unique_ptr<Device>> devices;
    std::vector<Stream *> streams; // without the legacy ones; in order, because the schedule picks among them
    std::set<Event *> events;
    std::set<Graph *> graphs;
    std::set<GraphExecutable *> executables;
    std::set<std::shared_ptr<Capture>> captures;
    std::map<void *, size_t> pinned;       // host memory by address
    std::array<cudaError_t, 4> injected{}; // by Call
    Counters counters;
    Counters marked; // what they were at the last mark()

    /// Protects the memory of the devices.
    void close();
    Device *device(int ordinal);
    /// The calling thread's.
    Device &current_device();
    /// The stream of a handle, the current device's legacy stream for null; null when the handle is void.
    Stream *stream(cudaStream_t handle);
    Event *event(cudaEvent_t handle);
    /// All streams of a device, its legacy one first.
    std::vector<Stream *> streams_of(int device);
    /// The device whose memory an address lies in, or null.
    Device *owner_of(const void *pointer);
};

/// Access to the runtime: one thread at a time. Closes the devices' memory at its end.
class Session {
  public:
    Session();
    ~Session();
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;

    Runtime *operator->() const;
    Runtime &operator*() const;

  private:
    std::unique_lock<std::mutex> lock_;
};

/// The runtime, for those who know that a session is open.
Runtime &open_runtime();

/// The calling thread's device.
int &current_ordinal();

/// Why no call works on this machine, or success.
cudaError_t driver_error(const Runtime &runtime);

/// Keeps an error for cudaGetLastError().
cudaError_t note_error(cudaError_t error);
void forget_error();

/// Whether CUDA answers an error to every later call.
bool is_sticky(cudaError_t error);

/// The injected error of this kind, once.
cudaError_t take_injected(Runtime &runtime, Call call);

/// The body of an API call that needs a working device.
template <class Body>
cudaError_t api_call(const Body &body) {
    const Session session;
    cudaError_t error = driver_error(*session);
    if (error == cudaSuccess) error = session->current_device().fault;
    if (error == cudaSuccess) error = body(*session);
    return note_error(error);
}

/// Refuses work on a legacy stream that a capturing stream would have to wait for, and invalidates that capture.
cudaError_t refuse_on_legacy(Runtime &runtime, const Stream &stream);

/// Refuses calls that CUDA calls unsafe while a capture is in progress, and invalidates that capture.
cudaError_t refuse_while_capturing(Runtime &runtime);

// Work of streams (queue.cpp)

/// Appends to a stream's queue, or to its capture. Runs none, some or all of what is pending.
cudaError_t submit(Runtime &runtime, Stream &stream, Work work);
/// Appends an operation outside of captures and answers its completion.
CompletionPtr enqueue(Runtime &runtime, Stream &stream, Operation operation);
/// Does pending work until an operation is done. Answers the fault of a device if there was one.
cudaError_t wait_for(Runtime &runtime, const CompletionPtr &completion);
cudaError_t wait_for_stream(Runtime &runtime, Stream &stream);
cudaError_t wait_for_device(Runtime &runtime, Device &device);
/// Does pending work of all devices.
void drain(Runtime &runtime);
/// Runs some pending work, at random.
void run_some(Runtime &runtime);
/// Forgets the pending work of a device.
void abandon(Runtime &runtime, Device &device);

} // namespace mezzo::cuda_sim
