// SPDX-License-Identifier: MIT
// Tensors of tests: made from and read as doubles, whatever their dtype, destroyed with their scope.
#pragma once

#include <mezzo/mezzo.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace mezzo::testing {

using Shape = std::vector<int64_t>;

inline const std::vector<mezzo_dtype> kFloatingDTypes = {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64, MEZZO_DTYPE_F16,
                                                         MEZZO_DTYPE_BF16};
inline const std::vector<mezzo_dtype> kHalves = {MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16};
inline const std::vector<mezzo_dtype> kDTypes = {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16,
                                                 MEZZO_DTYPE_I64, MEZZO_DTYPE_I32, MEZZO_DTYPE_U8};

/// Where tensors of tests live: MEZZO_TEST_DEVICE, "cuda:1" say, or the CPU.
mezzo_device test_device();

/// "cpu", "cuda:1".
std::string device_name_of(mezzo_device device);

int64_t elements_of(const Shape &shape);

/// `values` rounded to a dtype: what a tensor made from them holds.
std::vector<double> rounded(const std::vector<double> &values, mezzo_dtype dtype);

/// Owns a handle.
class TestTensor {
  public:
    TestTensor() = default;
    explicit TestTensor(mezzo_tensor handle) : handle_(handle) {}
    TestTensor(mezzo_dtype dtype, const Shape &shape);
    TestTensor(mezzo_dtype dtype, const Shape &shape, const std::vector<double> &values);
    ~TestTensor() { destroy(); }

    TestTensor(TestTensor &&other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    TestTensor &operator=(TestTensor &&other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }

    /// The same, but as a view that begins one element into its storage, so aligned to an element only.
    static TestTensor misaligned(mezzo_dtype dtype, const Shape &shape, const std::vector<double> &values);

    static TestTensor scalar(mezzo_dtype dtype, double value) { return TestTensor(dtype, {}, {value}); }

    mezzo_tensor handle() const { return handle_; }
    operator mezzo_tensor() const { return handle_; } // passes to the ABI as it is

    mezzo_tensor_info info() const;
    TestTensor view(int64_t offset, const Shape &shape) const;

    void write(const std::vector<double> &values) const;
    std::vector<double> values() const;
    double item() const { return values().at(0); }

    /// The elements as they lie in memory, for comparisons bit by bit.
    std::vector<uint8_t> bytes() const;

    void destroy();

  private:
    mezzo_tensor handle_{};
};

} // namespace mezzo::testing
