// SPDX-License-Identifier: MIT
#include "bench.h"

#include "core/tensor.h"
#include "cuda/check.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>

namespace mezzo::bench {
namespace {

std::vector<void (*)(Bench &)> &groups() {
    static std::vector<void (*)(Bench &)> all;
    return all;
}

class Event {
  public:
    Event() { check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDefault), "cudaEventCreateWithFlags"); }
    ~Event() { cudaEventDestroy(event_); }
    Event(const Event &) = delete;
    Event &operator=(const Event &) = delete;

    void record(cudaStream_t stream) const { check_cuda(cudaEventRecord(event_, stream), "cudaEventRecord"); }

    /// Waits for this event, which came after `start`.
    double microseconds_since(const Event &start) const {
        check_cuda(cudaEventSynchronize(event_), "cudaEventSynchronize");
        float milliseconds = 0;
        check_cuda(cudaEventElapsedTime(&milliseconds, start.event_, event_), "cudaEventElapsedTime");
        return 1e3 * static_cast<double>(milliseconds);
    }

  private:
    cudaEvent_t event_ = nullptr;
};

/// Runs 0, 1, ... of a contestant as one graph.
class Replay {
  public:
    Replay(CudaDevice &device, const Contestant &contestant, int64_t runs) : device_(device), runs_(runs) {
        check(mezzo_graph_capture_begin(device.id()));
        try {
            for (int64_t run = 0; run < runs; ++run) contestant.issue(run);
        } catch (...) {
            mezzo_graph_capture_abort(device.id());
            throw;
        }
        check(mezzo_graph_capture_end(&graph_, device.id()));
    }
    ~Replay() { mezzo_graph_destroy(graph_); }
    Replay(const Replay &) = delete;
    Replay &operator=(const Replay &) = delete;

    /// Microseconds of one run.
    double time() const {
        start_.record(device_.stream());
        check(mezzo_graph_launch(graph_));
        stop_.record(device_.stream());
        return stop_.microseconds_since(start_) / static_cast<double>(runs_);
    }

  private:
    CudaDevice &device_;
    int64_t runs_;
    mezzo_graph graph_{};
    Event start_, stop_;
};

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

} // namespace

void check(mezzo_status status) {
    if (status != MEZZO_STATUS_OK) throw Error(status, mezzo_last_error());
}

Values::Values(mezzo_device device, mezzo_dtype dtype, int64_t elements, uint64_t stream, double deviation) {
    check(mezzo_tensor_create(&tensor_, device, dtype, &elements, 1));
    if (dtype == MEZZO_DTYPE_I64 || dtype == MEZZO_DTYPE_I32 || dtype == MEZZO_DTYPE_U8) {
        check(mezzo_fill(tensor_, 0));
    } else {
        const mezzo_random_desc desc{sizeof desc, 0, 1, stream};
        check(mezzo_random_normal(tensor_, 0, deviation, &desc));
    }
    data_ = require_tensor(tensor_, "values");
}

std::vector<float> Values::sample() const {
    constexpr int64_t kMost = int64_t{1} << 20;
    const int64_t count = std::min(kMost, data_.elements);
    const Values copy(require_tensor(tensor_, "values").device().id(), MEZZO_DTYPE_F32, count, 0);
    std::vector<float> elements;
    for (const int64_t offset : {int64_t{0}, data_.elements - count}) {
        mezzo_tensor part{};
        check(mezzo_tensor_view(&part, tensor_, offset, &count, 1));
        check(mezzo_cast_forward(copy.tensor(), part));
        check(mezzo_tensor_destroy(part));
        std::vector<float> read(static_cast<size_t>(count));
        check(mezzo_tensor_read(read.data(), copy.tensor(), count * static_cast<int64_t>(sizeof(float))));
        elements.insert(elements.end(), read.begin(), read.end());
    }
    return elements;
}

Rotation::Rotation(int64_t sets, mezzo_device device, mezzo_dtype dtype, int64_t elements, uint64_t stream,
                   double deviation) {
    for (int64_t set = 0; set < sets; ++set) {
        values_.push_back(
            std::make_unique<Values>(device, dtype, elements, 100 * stream + static_cast<uint64_t>(set), deviation));
    }
}

Bench::Bench(CudaDevice &device, const Settings &settings)
    : device_(device), settings_(settings), cublaslt_(CublasLt::load(cublaslt_missing_)) {}

int64_t Bench::sets(int64_t bytes) const {
    constexpr int64_t kMost = 32;
    return settings_.tiny ? 2 : std::clamp<int64_t>(2 * device_.machine().l2_bytes / bytes + 1, 2, kMost);
}

double Bench::probe(const Contestant &contestant, int64_t runs) const {
    contestant.issue(0); // loads what is loaded late, which a capture may not
    check(mezzo_device_synchronize(id()));
    const auto time = [&](int64_t count) {
        const Replay replay(device_, contestant, count);
        replay.time();
        return replay.time();
    };
    // Enough of them that the launch of the graph, which is timed too, does not matter.
    constexpr double kMicroseconds = 1000;
    constexpr int64_t kMost = 200;
    const double first = time(runs);
    const auto enough = static_cast<int64_t>(kMicroseconds / std::max(0.1, first));
    return enough <= runs || settings_.tiny ? first : time(std::min(enough, kMost));
}

std::vector<Times> Bench::race(std::span<const Contestant> contestants) const {
    std::vector<std::unique_ptr<Replay>> replays;
    for (const Contestant &contestant : contestants) {
        constexpr double kMostRuns = 200;
        const double probed = probe(contestant, 4);
        const double wanted = settings_.tiny ? 2 : 1e3 * settings_.milliseconds / std::max(0.1, probed);
        const auto runs = static_cast<int64_t>(std::clamp(wanted, 1.0, kMostRuns));
        replays.push_back(std::make_unique<Replay>(device_, contestant, runs));
        replays.back()->time();
    }
    std::vector<std::vector<double>> times(contestants.size());
    for (int round = 0; round < settings_.rounds; ++round) {
        for (size_t i = 0; i < replays.size(); ++i) times[i].push_back(replays[i]->time());
    }
    std::vector<Times> result;
    for (const std::vector<double> &all : times) {
        const auto [fastest, slowest] = std::minmax_element(all.begin(), all.end());
        result.push_back({median(all), *fastest, *slowest});
    }
    return result;
}

void Bench::add(const std::string &group, const std::string &name, const std::function<void(Json &)> &measure) {
    if ((group + " " + name).find(settings_.only) == std::string::npos) return;
    Json json;
    json.add("group", group).add("name", name);
    try {
        measure(json);
    } catch (const std::exception &error) {
        json.add("error", error.what());
        failed_ = true;
    }
    mezzo_memory_trim(id());
    cases_.push_back(json.text());
    std::printf("%s\n", cases_.back().c_str());
    std::fflush(stdout);
    write(); // after each case, so that a run that is stopped leaves what it has
}

void Bench::write() const {
    if (settings_.json.empty()) return;
    Json cublaslt;
    if (cublaslt_ != nullptr) {
        cublaslt.add("version", cublaslt_->version());
    } else {
        cublaslt.add("missing", cublaslt_missing_);
    }
#ifdef MEZZO_CUDA_SIM
    const bool simulated = true;
#else
    const bool simulated = false;
#endif
    const CudaMachine &machine = device_.machine();
    Json json;
    json.add("simulated", simulated)
        .add("device", device_.name())
        .add("arch", machine.arch)
        .add("processors", machine.processors)
        .add("l2_bytes", machine.l2_bytes)
        .add("rounds", settings_.rounds)
        .add("tiny", settings_.tiny)
        .add_json("cublaslt", cublaslt.text())
        .add_json("cases", Json::array(cases_));
    const std::string part = settings_.json + ".part"; // a run that is stopped here leaves the file before
    std::FILE *file = std::fopen(part.c_str(), "w");
    if (file == nullptr) fail(MEZZO_STATUS_INVALID_ARGUMENT, "cannot write %s", part.c_str());
    std::fprintf(file, "%s\n", json.text().c_str());
    std::fclose(file);
    if (std::rename(part.c_str(), settings_.json.c_str()) != 0) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "cannot write %s", settings_.json.c_str());
    }
}

void add_times(Json &json, const std::string &name, const Times &times) {
    json.add(name + "_us", times.median)
        .add(name + "_fastest_us", times.fastest)
        .add(name + "_slowest_us", times.slowest);
}

Group::Group(void (*run)(Bench &bench)) {
    groups().push_back(run);
}

void run_groups(Bench &bench) {
    for (void (*run)(Bench &) : groups()) run(bench);
}

} // namespace mezzo::bench
