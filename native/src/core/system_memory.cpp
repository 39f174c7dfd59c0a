// SPDX-License-Identifier: MIT
#include "core/system_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string_view>

namespace mezzo {
namespace {

constexpr int64_t kNone = -1;

/// What a memory cgroup calls its files and the page cache that it can do without.
struct CgroupVersion {
    const char *mount;
    const char *limit;
    const char *usage;
    const char *reclaimable;
};

constexpr CgroupVersion kVersion1 = {"/sys/fs/cgroup/memory", "/memory.limit_in_bytes", "/memory.usage_in_bytes",
                                     "total_inactive_file"};
constexpr CgroupVersion kVersion2 = {"/sys/fs/cgroup", "/memory.max", "/memory.current", "inactive_file"};

/// The number that a file begins with, or that comes after a word of it.
int64_t read_number(const std::string &path, std::string_view word = {}) {
    std::ifstream file(path);
    for (std::string found; !word.empty() && found != word;) {
        if (!(file >> found)) return kNone;
    }
    int64_t number = kNone;
    return file >> number ? number : kNone; // "max" is none
}

/// What a cgroup's limit leaves; the largest number where it has none.
int64_t left_by(const std::string &cgroup, const CgroupVersion &version) {
    const int64_t limit = read_number(cgroup + version.limit);
    const int64_t usage = read_number(cgroup + version.usage);
    if (limit < 0 || usage < 0) return std::numeric_limits<int64_t>::max();
    const int64_t reclaimable = read_number(cgroup + "/memory.stat", version.reclaimable);
    return std::max<int64_t>(0, limit - usage + std::clamp<int64_t>(reclaimable, 0, usage));
}

/// What a cgroup and those it lies in leave.
int64_t left_on_the_way(const std::string &mount, std::string path, const CgroupVersion &version) {
    int64_t left = std::numeric_limits<int64_t>::max();
    for (;;) {
        left = std::min(left, left_by(mount + path, version));
        if (path.empty()) return left;
        path.erase(path.find_last_of('/'));
    }
}

} // namespace

int64_t available_system_memory(const std::string &root) {
    constexpr int64_t kKilobyte = 1024;
    const int64_t kilobytes = read_number(root + "/proc/meminfo", "MemAvailable:");
    if (kilobytes < 0) return kNone;
    int64_t available = kilobytes * kKilobyte;
    std::ifstream cgroups(root + "/proc/self/cgroup");
    for (std::string line; std::getline(cgroups, line);) { // "4:memory:/path", of version 2 "0::/path"
        const size_t first = line.find(':');
        const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos || second + 1 >= line.size() || line[second + 1] != '/') continue;
        const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
        std::string path = line.substr(second + 1);
        if (path == "/") path.clear();
        const CgroupVersion &version = controllers == ",," ? kVersion2 : kVersion1;
        if (&version == &kVersion1 && controllers.find(",memory,") == std::string::npos) continue;
        available = std::min(available, left_on_the_way(root + version.mount, std::move(path), version));
    }
    return available;
}

} // namespace mezzo
