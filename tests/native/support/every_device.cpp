// SPDX-License-Identifier: MIT
#include "support/every_device.h"

#include "core/convert.h"
#include "support/environment.h"
#include "support/oracle.h"
#include "support/status.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

namespace mezzo::testing {
namespace {

/// Makes a device the one of the tests, and goes back with its scope.
class DeviceScope {
  public:
    explicit DeviceScope(mezzo_device device) : variable_("MEZZO_TEST_DEVICE", device_name_of(device)) {
        EXPECT_EQ(test_device().type, device.type);
        EXPECT_EQ(test_device().index, device.index);
    }

  private:
    VariableScope variable_;
};

std::vector<mezzo_device> devices_beside_the_cpu() {
    int32_t count = 0;
    EXPECT_OK(mezzo_device_count(&count, MEZZO_DEVICE_TYPE_CUDA));
    std::vector<mezzo_device> devices;
    for (int32_t index = 0; index < count; ++index) devices.push_back({MEZZO_DEVICE_TYPE_CUDA, index});
    return devices;
}

Results results_on(mezzo_device device, const std::function<void(Results &)> &compute) {
    const DeviceScope scope(device);
    Results results;
    compute(results);
    return results;
}

} // namespace

void Results::add(const TestTensor &tensor) {
    std::vector<uint8_t> bytes = tensor.bytes();
    visit_dtype(tensor.info().dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        for (size_t at = 0; at < bytes.size(); at += sizeof(T)) {
            T element;
            std::memcpy(&element, bytes.data() + at, sizeof(T));
            if (std::isnan(convert<double>(element))) std::memset(bytes.data() + at, 0xff, sizeof(T));
        }
    });
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

void expect_same_bits_on_every_device(const std::function<void(Results &)> &compute) {
    const std::vector<mezzo_device> devices = devices_beside_the_cpu();
    if (devices.empty()) return;
    const Results expected = results_on({MEZZO_DEVICE_TYPE_CPU, 0}, compute);
    for (const mezzo_device device : devices) {
        const Results got = results_on(device, compute);
        ASSERT_EQ(got.bytes().size(), expected.bytes().size());
        const auto difference = std::mismatch(got.bytes().begin(), got.bytes().end(), expected.bytes().begin());
        EXPECT_EQ(difference.first, got.bytes().end())
            << device_name_of(device) << " and the CPU differ from byte " << difference.first - got.bytes().begin();
    }
}

Placed::Placed(mezzo_dtype dtype, int64_t offset, const std::vector<double> &values) {
    constexpr int64_t kBehind = 3;
    const auto count = static_cast<int64_t>(values.size());
    const std::vector<double> border(static_cast<size_t>(offset + count + kBehind), 7);
    whole = TestTensor(dtype, {offset + count + kBehind}, border);
    view = whole.view(offset, {count});
    view.write(values);
}

const std::vector<int64_t> &critical_counts() {
    static const std::vector<int64_t> counts = {1,    2,    7,    8,    9,    31,   32,   33,    63,
                                                1023, 1024, 1025, 4095, 4096, 4097, 8200, 270003};
    return counts;
}

std::vector<double> mixed_values(int64_t count, uint64_t seed, mezzo_dtype dtype) {
    std::vector<double> values = random_values(count, seed);
    const std::vector<double> specials = special_values(dtype);
    for (size_t i = 3; i < values.size(); i += 7) values[i] = specials[i / 7 % specials.size()];
    return values;
}

TestTensor on_cpu(const TestTensor &tensor) {
    if (tensor.handle().id == 0) return {};
    const mezzo_tensor_info info = tensor.info();
    mezzo_tensor copy{};
    EXPECT_OK(mezzo_tensor_create(&copy, {MEZZO_DEVICE_TYPE_CPU, 0}, info.dtype, info.shape, info.rank));
    EXPECT_OK(mezzo_tensor_copy(copy, tensor));
    return TestTensor(copy);
}

} // namespace mezzo::testing
