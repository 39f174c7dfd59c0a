// SPDX-License-Identifier: MIT
// Who can touch a device's memory: the thread that has opened it, or nobody.
#pragma once

#include <boost/icl/interval_set.hpp>

#include <cstddef>
#include <cstdint>

namespace mezzo::cuda_sim {

/// Opens by a protection key (pkeys(7)), which costs an instruction. Where the machine has none left, all pages are
/// protected anew each time, for all threads.
class Access {
  public:
    Access();
    ~Access();
    Access(const Access &) = delete;
    Access &operator=(const Access &) = delete;

    /// Makes memory part of what is opened and closed, or takes it away, so that it faults at all times.
    void permit(void *memory, size_t bytes);
    void forbid(void *memory, size_t bytes);

    /// Who opens closes, too, on the same thread, while what is permitted is there.
    void open();
    void close();

    /// How much has to be protected to close.
    size_t bytes_to_close() const { return is_open_ && !has_key() ? permitted_.size() : 0; }

  private:
    bool has_key() const { return key_ >= 0; }
    void protect(uintptr_t begin, size_t bytes, bool is_permitted) const;
    void change(bool is_open);

    int key_; // negative for none
    bool is_open_ = false;
    boost::icl::interval_set<uintptr_t> permitted_;
};

} // namespace mezzo::cuda_sim
