// SPDX-License-Identifier: MIT
// The linear layer against the same products by oneDNN, side by side: for each dtype the smallest time of
// many short repeats, taken in turns.
//
//     linear_bench [rows in_features out_features threads]     default: 20000 150 150 2
//
// Times are of this thread's processor clock when threads is 1, so that a busy machine disturbs them less,
// and of the wall clock otherwise.
#include <mezzo/ops.h>

#include "core/device.h"
#include "core/dtype.h"
#include "core/tensor.h"
#include "cpu/linear.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

namespace {

using namespace mezzo;

struct Case {
    std::string name;
    std::function<void()> run;
    double flops;
    double best = 1e9;
};

double now(bool processor_time) {
    timespec time{};
    clock_gettime(processor_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Takes the cases in turns, so that all see the same machine.
void time_all(std::vector<Case> &cases, bool processor_time) {
    constexpr int kRepeats = 300;
    constexpr double kSeconds = 3;
    const double begin = now(processor_time);
    for (int repeat = 0; repeat < kRepeats && now(processor_time) - begin < kSeconds; ++repeat) {
        for (Case &c : cases) {
            const double start = now(processor_time);
            c.run();
            c.best = std::min(c.best, now(processor_time) - start);
        }
    }
}

/// Memory of a tensor with numbers around 1.
class Values {
  public:
    Values(mezzo_dtype dtype, int64_t count, uint64_t stream) {
        check(mezzo_tensor_create(&handle_, {}, dtype, &count, 1));
        const mezzo_random_desc desc{sizeof desc, 0, 1, stream};
        check(mezzo_random_normal(handle_, 0, 1, &desc));
        tensor_ = TensorData(require_tensor(handle_, "values"));
    }
    ~Values() { mezzo_tensor_destroy(handle_); }
    Values(const Values &) = delete;
    Values &operator=(const Values &) = delete;

    TensorData tensor() const { return tensor_; }
    std::byte *data() const { return tensor_.data; }

  private:
    static void check(mezzo_status status) {
        if (status == MEZZO_STATUS_OK) return;
        std::fprintf(stderr, "%s\n", mezzo_last_error());
        std::exit(1);
    }

    mezzo_tensor handle_{};
    TensorData tensor_;
};

void compare(const LinearSizes &sizes, mezzo_dtype dtype, bool processor_time) {
    const auto [rows, in, out] = sizes;
    const mezzo_dtype wide = dtype == MEZZO_DTYPE_F64 ? dtype : MEZZO_DTYPE_F32;
    const Values input(dtype, rows * in, 1), weight(dtype, out * in, 2), bias(wide, out, 3),
        output(dtype, rows * out, 4);
    const Values grad_output(dtype, rows * out, 5), grad_input(dtype, rows * in, 6), grad_weight(wide, out * in, 7);
    const Values grad_bias(wide, out, 8);

    LinearForward forward{};
    forward.sizes = sizes;
    forward.dtype = dtype;
    forward.out = output.tensor();
    forward.input = input.data();
    forward.weight = weight.data();
    forward.bias = bias.tensor();
    forward.relu = true;
    LinearBackward backward{};
    backward.sizes = sizes;
    backward.dtype = dtype;
    backward.grad_input = grad_input.tensor();
    backward.grad_weight = grad_weight.tensor();
    backward.grad_bias = grad_bias.tensor();
    backward.grad_output = grad_output.tensor();
    backward.input = input.data();
    backward.weight = weight.data();
    backward.output = output.tensor();

    Allocator &memory = require_device({}).memory();
    const double product = 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
    const auto chosen = cpu::choose_product(dtype, {.m = rows, .n = out, .k = in}, cpu::product_machine());
    std::vector<const cpu::ProductBackend *> backends{&cpu::product_backend(chosen)};
    const cpu::ProductBackend *onednn = cpu::onednn_backend(chosen.element);
    if (onednn != nullptr && onednn != backends.front()) backends.push_back(onednn);
    std::vector<Case> cases;
    for (const cpu::ProductBackend *backend : backends) {
        cases.push_back({std::string("forward  ") + backend->name(),
                         [&, backend] { cpu::run_linear(forward, *backend, memory); }, product});
        cases.push_back({std::string("backward ") + backend->name(),
                         [&, backend] { cpu::run_linear(backward, *backend, memory); }, 2 * product});
    }
    time_all(cases, processor_time);
    for (size_t i = 0; i < cases.size(); ++i) {
        std::printf("%-5s %-24s %8.3f ms %7.0f GFLOP/s", dtype_name(dtype), cases[i].name.c_str(), cases[i].best * 1e3,
                    cases[i].flops / cases[i].best * 1e-9);
        if (i >= 2) std::printf("   %.2f times as long", cases[i].best / cases[i % 2].best);
        std::printf("\n");
    }
}

} // namespace

int main(int argc, char **argv) {
    const auto argument = [&](int index, int64_t otherwise) {
        return argc > index ? std::max<int64_t>(1, std::atoll(argv[index])) : otherwise;
    };
    const LinearSizes sizes{argument(1, 20000), argument(2, 150), argument(3, 150)};
    const auto threads = static_cast<int32_t>(argument(4, 2));
    if (mezzo_threads_set(threads) != MEZZO_STATUS_OK) {
        std::fprintf(stderr, "%s\n", mezzo_last_error());
        return 1;
    }
    std::printf("%s, %s, oneDNN %s, %d threads, %lld x %lld x %lld\n", require_device({}).name().c_str(),
                mezzo_cpu_instruction_sets(), mezzo_onednn_version(), threads, static_cast<long long>(sizes.rows),
                static_cast<long long>(sizes.in_features), static_cast<long long>(sizes.out_features));
    for (const mezzo_dtype dtype : {MEZZO_DTYPE_BF16, MEZZO_DTYPE_F32, MEZZO_DTYPE_F16, MEZZO_DTYPE_F64}) {
        compare(sizes, dtype, threads == 1);
    }
    return 0;
}
