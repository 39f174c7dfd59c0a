// SPDX-License-Identifier: MIT
// Speed of the CUDA kernels on this machine, side by side with cuBLASLt and with a plain copy. Called by
// `./build.sh gpu bench-kernels`; alone, and under a profiler:
//
//     cuda_kernels_bench [--only TEXT] [--rounds N] [--json FILE] [--tiny]
//
// Inputs are random numbers, since zeros run faster; buffers rotate, so that the caches do not hold the next
// run's; contestants take turns, and the medians over the rounds count.
#include "bench.h"

#include "core/device.h"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

namespace {

using namespace mezzo;

bench::Settings settings_of(int argc, char **argv) {
    bench::Settings settings;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--tiny") {
            settings.tiny = true;
            settings.rounds = 2;
            continue;
        }
        if (i + 1 == argc) throw std::invalid_argument(std::string(name) + " is unknown or lacks its value");
        const char *value = argv[++i];
        if (name == "--only") {
            settings.only = value;
        } else if (name == "--json") {
            settings.json = value;
        } else if (name == "--rounds" && std::atoi(value) > 0) {
            settings.rounds = std::atoi(value);
        } else {
            throw std::invalid_argument("cannot understand " + std::string(name) + " " + value);
        }
    }
    return settings;
}

} // namespace

int main(int argc, char **argv) {
    try {
        const bench::Settings settings = settings_of(argc, argv);
        bench::Bench bench(cuda_device(require_device({MEZZO_DEVICE_TYPE_CUDA, 0})), settings);
        bench::run_groups(bench);
        bench.write();
        return bench.failed() ? 1 : 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "cuda_kernels_bench: %s\n", error.what());
        return 2;
    }
}
