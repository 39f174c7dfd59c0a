// SPDX-License-Identifier: MIT
#if defined(MEZZO_CUDA_SIM)

#include "support/machine.h"

#include "support/environment.h"
#include "support/status.h"

#include <cstdio>
#include <cstdlib>
#include <string>

namespace mezzo::testing {
namespace {

/// Prints the failures of the running test, which GoogleTest keeps to itself in a process of a death test.
bool print_failures() {
    const ::testing::TestResult &result = *::testing::UnitTest::GetInstance()->current_test_info()->result();
    for (int i = 0; i < result.total_part_count(); ++i) {
        std::fprintf(stderr, "%s:%d: %s\n", result.GetTestPartResult(i).file_name(),
                     result.GetTestPartResult(i).line_number(), result.GetTestPartResult(i).message());
    }
    return result.Failed();
}

} // namespace

void on_machine(const cuda_sim::Machine &machine, const std::function<void()> &body) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const VariableScope devices("MEZZO_SIM_DEVICES", std::to_string(machine.devices));
    const VariableScope arch("MEZZO_SIM_ARCH", machine.arch);
    const VariableScope driver("MEZZO_SIM_DRIVER", std::to_string(machine.driver));
    const VariableScope memory("MEZZO_SIM_MEMORY", std::to_string(machine.memory));
    const VariableScope virtual_memory("MEZZO_SIM_VIRTUAL_MEMORY", machine.virtual_memory ? "1" : "0");
    const VariableScope tensors("MEZZO_TEST_DEVICE", "cuda:0");
    EXPECT_EXIT(
        {
            body();
            std::exit(print_failures() ? 1 : 0);
        },
        ::testing::ExitedWithCode(0), "");
}

TestTensor tensor_on(mezzo_device device, const Shape &shape) {
    mezzo_tensor handle{};
    EXPECT_OK(mezzo_tensor_create(&handle, device, MEZZO_DTYPE_F32, shape.data(), static_cast<int32_t>(shape.size())));
    return TestTensor(handle);
}

} // namespace mezzo::testing

#endif
