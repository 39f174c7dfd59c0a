// SPDX-License-Identifier: MIT
#include "core/system_memory.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace mezzo::testing {
namespace {

constexpr int64_t kKilobyte = 1024;

/// The files of a system under a folder of its own, removed with their scope.
class SystemFiles {
  public:
    SystemFiles() {
        std::string name = (std::filesystem::temp_directory_path() / "mezzo_system_XXXXXX").string();
        EXPECT_NE(mkdtemp(name.data()), nullptr);
        root_ = name;
        write("/proc/meminfo", "MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable:    1000 kB\nBuffers: 7 kB\n");
    }
    ~SystemFiles() { std::filesystem::remove_all(root_); }
    SystemFiles(const SystemFiles &) = delete;
    SystemFiles &operator=(const SystemFiles &) = delete;

    void write(const std::string &path, const std::string &text) const {
        const std::filesystem::path full = root_ + path;
        std::filesystem::create_directories(full.parent_path());
        std::ofstream(full) << text;
    }

    int64_t available() const { return available_system_memory(root_); }

  private:
    std::string root_;
};

TEST(SystemMemoryOnCpu, WithoutCgroups_IsWhatLinuxSays) {
    const SystemFiles files;
    EXPECT_EQ(files.available(), 1000 * kKilobyte);
    files.write("/proc/self/cgroup", "4:memory:/a\n0::/a\n"); // whose files are not there
    EXPECT_EQ(files.available(), 1000 * kKilobyte);
}

TEST(SystemMemoryOnCpu, WhereLinuxSaysNothing_IsNotKnown) {
    const SystemFiles files;
    files.write("/proc/meminfo", "MemTotal: 9000 kB\n");
    EXPECT_LT(files.available(), 0);
    EXPECT_LT(available_system_memory("/nowhere"), 0);
}

TEST(SystemMemoryOnCpu, OfVersion2_IsNoMoreThanEachLimitLeaves) {
    const SystemFiles files;
    files.write("/proc/self/cgroup", "0::/outer/inner\n");
    files.write("/sys/fs/cgroup/outer/memory.max", "700000\n");
    files.write("/sys/fs/cgroup/outer/memory.current", "200000\n");
    files.write("/sys/fs/cgroup/outer/inner/memory.max", "max\n");
    files.write("/sys/fs/cgroup/outer/inner/memory.current", "150000\n");
    EXPECT_EQ(files.available(), 500000);
    files.write("/sys/fs/cgroup/outer/memory.stat", "anon 1\ninactive_file 30000\nactive_file 9\n"); // page cache
    EXPECT_EQ(files.available(), 530000);
    files.write("/sys/fs/cgroup/outer/inner/memory.max", "160000\n");
    EXPECT_EQ(files.available(), 10000);
    files.write("/sys/fs/cgroup/outer/inner/memory.max", "140000\n");
    EXPECT_EQ(files.available(), 0);
}

TEST(SystemMemoryOnCpu, OfVersion1_IsNoMoreThanEachLimitLeaves) {
    const SystemFiles files;
    files.write("/proc/self/cgroup", "12:cpu,cpuacct:/job\n4:memory:/job\n0::/\n");
    files.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); // none
    files.write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "5000000\n");
    EXPECT_EQ(files.available(), 1000 * kKilobyte);
    files.write("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "600000\n");
    files.write("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "100000\n");
    EXPECT_EQ(files.available(), 500000);
    files.write("/sys/fs/cgroup/memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 20000\n");
    EXPECT_EQ(files.available(), 520000);
}

// A container may see the path of the host, where the mounted folder is its own.
TEST(SystemMemoryOnCpu, OfACgroupMountedAsTheRoot_IsFoundThere) {
    const SystemFiles files;
    files.write("/proc/self/cgroup", "0::/docker/0123\n");
    files.write("/sys/fs/cgroup/memory.max", "300000\n");
    files.write("/sys/fs/cgroup/memory.current", "100000\n");
    EXPECT_EQ(files.available(), 200000);
}

TEST(SystemMemoryOnCpu, OfThisSystem_IsSomething) {
    EXPECT_GT(available_system_memory(), 0);
}

} // namespace
} // namespace mezzo::testing
