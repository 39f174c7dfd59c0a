// SPDX-License-Identifier: MIT
#include "support/tensor.h"

#include "core/convert.h"
#include "core/device.h"
#include "support/status.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mezzo::testing {
namespace {

const int64_t *dims_of(const Shape &shape) {
    return shape.empty() ? nullptr : shape.data();
}

std::vector<uint8_t> encode(const std::vector<double> &values, mezzo_dtype dtype) {
    return visit_dtype(dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        std::vector<uint8_t> bytes(values.size() * sizeof(T));
        for (size_t i = 0; i < values.size(); ++i) {
            const T element = convert<T>(values[i]);
            std::memcpy(bytes.data() + i * sizeof(T), &element, sizeof(T));
        }
        return bytes;
    });
}

std::vector<double> decode(const std::vector<uint8_t> &bytes, mezzo_dtype dtype) {
    return visit_dtype(dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        std::vector<double> values(bytes.size() / sizeof(T));
        for (size_t i = 0; i < values.size(); ++i) {
            T element;
            std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
            values[i] = convert<double>(element);
        }
        return values;
    });
}

} // namespace

mezzo_device test_device() {
    const char *text = std::getenv("MEZZO_TEST_DEVICE");
    int32_t index = 0;
    if (text == nullptr || std::strcmp(text, "cpu") == 0) return {MEZZO_DEVICE_TYPE_CPU, 0};
    if (std::sscanf(text, "cuda:%d", &index) == 1) return {MEZZO_DEVICE_TYPE_CUDA, index};
    std::fprintf(stderr, "MEZZO_TEST_DEVICE is \"%s\", expected cpu or cuda:N\n", text);
    std::exit(2);
}

std::string device_name_of(mezzo_device device) {
    return device_text(device);
}

int64_t elements_of(const Shape &shape) {
    int64_t elements = 1;
    for (const int64_t dim : shape) elements *= dim;
    return elements;
}

std::vector<double> rounded(const std::vector<double> &values, mezzo_dtype dtype) {
    return decode(encode(values, dtype), dtype);
}

TestTensor::TestTensor(mezzo_dtype dtype, const Shape &shape) {
    EXPECT_OK(mezzo_tensor_create(&handle_, test_device(), dtype, dims_of(shape), static_cast<int32_t>(shape.size())));
}

TestTensor::TestTensor(mezzo_dtype dtype, const Shape &shape, const std::vector<double> &values)
    : TestTensor(dtype, shape) {
    write(values);
}

TestTensor TestTensor::misaligned(mezzo_dtype dtype, const Shape &shape, const std::vector<double> &values) {
    const TestTensor base(dtype, {elements_of(shape) + 1});
    TestTensor view = base.view(1, shape);
    view.write(values);
    return view;
}

mezzo_tensor_info TestTensor::info() const {
    mezzo_tensor_info info{};
    EXPECT_OK(mezzo_tensor_describe(&info, handle_));
    return info;
}

TestTensor TestTensor::view(int64_t offset, const Shape &shape) const {
    TestTensor view;
    EXPECT_OK(mezzo_tensor_view(&view.handle_, handle_, offset, dims_of(shape), static_cast<int32_t>(shape.size())));
    return view;
}

void TestTensor::write(const std::vector<double> &values) const {
    const std::vector<uint8_t> bytes = encode(values, info().dtype);
    EXPECT_OK(mezzo_tensor_write(handle_, bytes.data(), static_cast<int64_t>(bytes.size())));
}

std::vector<double> TestTensor::values() const {
    return decode(bytes(), info().dtype);
}

std::vector<uint8_t> TestTensor::bytes() const {
    std::vector<uint8_t> bytes(static_cast<size_t>(info().bytes));
    EXPECT_OK(mezzo_tensor_read(bytes.data(), handle_, static_cast<int64_t>(bytes.size())));
    return bytes;
}

void TestTensor::destroy() {
    EXPECT_OK(mezzo_tensor_destroy(std::exchange(handle_, {})));
}

} // namespace mezzo::testing
