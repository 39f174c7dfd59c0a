// SPDX-License-Identifier: MIT
// What the benchmarks of the CUDA kernels share: tensors, races between contestants, and the groups of cases, which
// register themselves where they are written.
#pragma once

#include <mezzo/ops.h>

#include "cublaslt.h"
#include "cuda/cuda_device.h"
#include "json.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace mezzo::bench {

struct Settings {
    bool tiny = false;       // sizes that a simulated device can do: nothing that is timed means anything
    int rounds = 9;          // in which every contestant takes its turn
    double milliseconds = 3; // that a contestant's turn takes, about
    std::string only;        // cases whose "group name" contains this
    std::string json;        // file for the results
};

/// Throws with the last error's text unless the call has succeeded.
void check(mezzo_status status);

/// A tensor with elements around 1 in magnitude, the same ones for the same stream.
class Values {
  public:
    Values(mezzo_device device, mezzo_dtype dtype, int64_t elements, uint64_t stream, double deviation = 1);
    ~Values() { mezzo_tensor_destroy(tensor_); }
    Values(const Values &) = delete;
    Values &operator=(const Values &) = delete;

    mezzo_tensor tensor() const { return tensor_; }
    TensorData data() const { return data_; }
    std::byte *bytes() const { return data_.data; }

    /// The first and the last elements, at most 2^20 each, as f32.
    std::vector<float> sample() const;

  private:
    mezzo_tensor tensor_{};
    TensorData data_;
};

/// The same kind of tensor several times over, so that the caches do not hold what the next run reads.
class Rotation {
  public:
    Rotation(int64_t sets, mezzo_device device, mezzo_dtype dtype, int64_t elements, uint64_t stream,
             double deviation = 1);
    const Values &operator[](int64_t run) const { return *values_[static_cast<size_t>(run) % values_.size()]; }

  private:
    std::vector<std::unique_ptr<Values>> values_;
};

/// One of those compared. `issue` issues its run of a number to the device's stream.
struct Contestant {
    std::string name;
    std::function<void(int64_t run)> issue;
};

/// Microseconds of one run, over the rounds.
struct Times {
    double median, fastest, slowest;
};

class Bench {
  public:
    Bench(CudaDevice &device, const Settings &settings);

    CudaDevice &device() const { return device_; }
    mezzo_device id() const { return device_.id(); }
    const Settings &settings() const { return settings_; }
    const CublasLt *cublaslt() const { return cublaslt_.get(); }

    /// `normal`, or `tiny` where only that the program runs is looked at.
    int64_t size(int64_t normal, int64_t tiny) const { return settings_.tiny ? tiny : normal; }

    /// As many sets of buffers as together exceed the cache twice.
    int64_t sets(int64_t bytes) const;

    /// Runs the contestants in turns, each many times at once from a graph, so that launching costs nothing.
    std::vector<Times> race(std::span<const Contestant> contestants) const;

    /// Microseconds of one of a few runs: quick, for a choice among many.
    double probe(const Contestant &contestant, int64_t runs) const;

    /// Runs a case unless it is not wanted; `measure` adds what it finds. A failure stands in the report, too.
    void add(const std::string &group, const std::string &name, const std::function<void(Json &)> &measure);

    void write() const;
    bool failed() const { return failed_; }

  private:
    CudaDevice &device_;
    Settings settings_;
    std::string cublaslt_missing_;
    std::unique_ptr<CublasLt> cublaslt_;
    std::vector<std::string> cases_; // JSON
    bool failed_ = false;
};

/// Adds a contestant's times: `name`_us and the span of the rounds.
void add_times(Json &json, const std::string &name, const Times &times);

/// A group of cases.
class Group {
  public:
    explicit Group(void (*run)(Bench &bench));
};

/// Runs every group.
void run_groups(Bench &bench);

} // namespace mezzo::bench
