// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#if defined(MEZZO_CUDA_SIM)
#include <cuda_sim/control.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace mezzo::testing {
namespace {

/// Names the seed of the simulated device with the first failure of a test. Each test begins with it anew, so that a
/// failure can be repeated by the test alone.
class SeedListener final : public ::testing::EmptyTestEventListener {
  public:
    SeedListener() {
        // For the processes of death tests too.
        setenv("MEZZO_SIM_SEED", std::to_string(seed_).c_str(), 1);
    }

    void OnTestStart(const ::testing::TestInfo &) override {
        cuda_sim::set_seed(seed_);
        named_ = false;
    }

    void OnTestPartResult(const ::testing::TestPartResult &result) override {
        if (!result.failed() || named_) return;
        named_ = true;
        std::printf("On the simulated device this is repeated by MEZZO_SIM_SEED=%llu\n\n",
                    static_cast<unsigned long long>(seed_));
        std::fflush(stdout);
    }

  private:
    const uint64_t seed_ = cuda_sim::seed();
    bool named_ = false;
};

} // namespace
} // namespace mezzo::testing
#endif

int main(int argc, char **argv) {
    testing::InitGoogleTest(&argc, argv);
#if defined(MEZZO_CUDA_SIM)
    testing::UnitTest::GetInstance()->listeners().Append(new mezzo::testing::SeedListener);
#endif
    return RUN_ALL_TESTS();
}
