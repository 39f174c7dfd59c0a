// SPDX-License-Identifier: MIT
#include "symbol.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mezzo::cuda_sim {
namespace {

std::string demangled(const char *name) {
    int status = 0;
    char *text = abi::__cxa_demangle(name, nullptr, nullptr, &status);
    const std::string result = status == 0 ? text : name;
    std::free(text);
    return result;
}

/// The bytes of a file, none when it cannot be read.
class MappedFile {
  public:
    explicit MappedFile(const char *path) {
        const int file = open(path, O_RDONLY | O_CLOEXEC);
        struct stat status {};
        if (file < 0) return;
        if (fstat(file, &status) == 0) {
            void *data = mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, file, 0);
            if (data != MAP_FAILED) {
                data_ = static_cast<const char *>(data);
                bytes_ = static_cast<size_t>(status.st_size);
            }
        }
        close(file);
    }
    ~MappedFile() {
        if (data_ != nullptr) munmap(const_cast<char *>(data_), bytes_);
    }
    MappedFile(const MappedFile &) = delete;
    MappedFile &operator=(const MappedFile &) = delete;

    template <class T>
    T at(size_t offset) const {
        T value{};
        if (offset + sizeof value <= bytes_) std::memcpy(&value, data_ + offset, sizeof value);
        return value;
    }

    std::string text_at(size_t offset) const {
        return offset < bytes_ ? std::string(data_ + offset, strnlen(data_ + offset, bytes_ - offset)) : std::string();
    }

  private:
    const char *data_ = nullptr;
    size_t bytes_ = 0;
};

/// The symbol of a file that begins at an address; empty when the file has been stripped.
std::string find_symbol(const char *path, ElfW(Addr) address) {
    const MappedFile file(path);
    const auto header = file.at<ElfW(Ehdr)>(0);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return {};
    for (size_t i = 0; i < header.e_shnum; ++i) {
        const auto section = file.at<ElfW(Shdr)>(header.e_shoff + i * header.e_shentsize);
        if (section.sh_type != SHT_SYMTAB) continue;
        const auto names = file.at<ElfW(Shdr)>(header.e_shoff + section.sh_link * header.e_shentsize);
        for (size_t offset = 0; offset < section.sh_size; offset += sizeof(ElfW(Sym))) {
            const auto symbol = file.at<ElfW(Sym)>(section.sh_offset + offset);
            if (symbol.st_value != address || (symbol.st_info & 0xf) != STT_FUNC) continue;
            return demangled(file.text_at(names.sh_offset + symbol.st_name).c_str());
        }
    }
    return {};
}

} // namespace

std::string function_name(const void *function) {
    Dl_info info{};
    link_map *map = nullptr;
    if (dladdr1(function, &info, reinterpret_cast<void **>(&map), RTLD_DL_LINKMAP) == 0 || map == nullptr) {
        return "at an unknown address";
    }
    const auto address = reinterpret_cast<ElfW(Addr)>(function) - map->l_addr;
    // The program itself has no name in the list of loaded files.
    const char *path = map->l_name[0] != '\0' ? map->l_name : "/proc/self/exe";
    std::string name = find_symbol(path, address);
    if (!name.empty()) return name;
    char text[32];
    std::snprintf(text, sizeof text, "+0x%zx", static_cast<size_t>(address));
    return std::string(path) + text;
}

} // namespace mezzo::cuda_sim
