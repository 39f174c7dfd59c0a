// SPDX-License-Identifier: MIT
// Copies of tensors in host memory, to and from which a device copies beside its other work.
#pragma once

#include "core/fork_mutex.h"
#include "core/tensor.h"

#include <memory>
#include <vector>

namespace mezzo {

/// What a handle of a copy stands for. It keeps the tensors that it copies from or to until work comes after the
/// copying, so that nobody else gets their memory before.
class HostCopy : public std::enable_shared_from_this<HostCopy> {
  public:
    /// `capture` is the one under way, null for none.
    HostCopy(const TensorRef &tensor, const Capture *capture);
    ~HostCopy();
    HostCopy(const HostCopy &) = delete;
    HostCopy &operator=(const HostCopy &) = delete;

    Device &device() const { return device_; }
    void *data() const { return data_; }

    /// Tells it from the others that were made in its capture, in each capture of the same ops alike.
    uint64_t number() const { return number_; }

    /// Throws unless the tensor can take the elements.
    void expect_fits(const TensorRef &out_tensor) const;

    void copy_from(const TensorRef &tensor, Capture *capture) const;
    void copy_to(const TensorRef &tensor, Capture *capture) const;
    void wait(Capture *capture) const;

    /// The capture in which copying was recorded has ended, which it does after all that it has recorded.
    void end_capture() const noexcept;

  private:
    void begin(const TensorRef &tensor, void *to, const void *from, const char *op, Capture *capture) const;

    Device &device_;
    mezzo_dtype dtype_;
    int64_t elements_;
    int64_t bytes_;
    uint64_t number_;
    std::shared_ptr<HostTransfer> transfer_;
    void *data_; // of device_.host_memory()

    mutable ForkMutex mutex_;                                      // two threads may wait for one copy
    mutable std::vector<std::shared_ptr<const Tensor>> under_way_; // tensors since the last wait
    mutable bool captured_ = false;                                // whether under_way_ is of the capture under way
};

} // namespace mezzo
