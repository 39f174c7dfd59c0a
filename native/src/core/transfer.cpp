// SPDX-License-Identifier: MIT
// Copies between tensors and the host, and between tensors.
#include "core/op.h"

#include <vector>

namespace mezzo {
namespace {

void expect_bytes(const TensorRef &tensor, int64_t bytes) {
    if (bytes == tensor.bytes()) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "bytes is %lld, expected %lld for %s, which is %s",
         static_cast<long long>(bytes), static_cast<long long>(tensor.bytes()), tensor.name().c_str(),
         tensor.text().c_str());
}

struct CopyWithin {
    std::byte *to;
    const std::byte *from;
    int64_t bytes;
};

void copy_within(Device &device, const CopyWithin &a) {
    device.copy_within(a.to, a.from, a.bytes);
}

const Implementation<CopyWithin> on_cpu(MEZZO_DEVICE_TYPE_CPU, copy_within);
const Implementation<CopyWithin> on_cuda(MEZZO_DEVICE_TYPE_CUDA, copy_within);

void copy(const TensorRef &to, const TensorRef &from) {
    if (&to.device() == &from.device()) {
        if (to.bytes_data() == from.bytes_data()) return;
        run_op(to.device(), CopyWithin{to.bytes_data(), from.bytes_data(), from.bytes()});
        return;
    }
    constexpr const char *kWhy = "it copies between devices through the host";
    const Device::Work writing(to.device(), kWhy);
    const Device::Work reading(from.device(), kWhy);
    std::vector<std::byte> staging(static_cast<size_t>(from.bytes()));
    from.device().copy_to_host(staging.data(), from.bytes_data(), from.bytes());
    to.device().copy_from_host(to.bytes_data(), staging.data(), to.bytes());
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_tensor_write(mezzo_tensor out_tensor, const void *data, int64_t bytes) {
    using namespace mezzo;
    return guard("tensor_write", [&] {
        const TensorRef tensor = require_tensor(out_tensor, "out_tensor");
        if (data == nullptr) fail(MEZZO_STATUS_INVALID_ARGUMENT, "data is a null pointer");
        expect_bytes(tensor, bytes);
        const Device::Work work(tensor.device(), "it copies from the host");
        tensor.device().copy_from_host(tensor.bytes_data(), data, bytes);
    });
}

mezzo_status mezzo_tensor_read(void *out_data, mezzo_tensor tensor, int64_t bytes) {
    using namespace mezzo;
    return guard("tensor_read", [&] {
        if (out_data == nullptr) fail(MEZZO_STATUS_INVALID_ARGUMENT, "out_data is a null pointer");
        const TensorRef source = require_tensor(tensor, "tensor");
        expect_bytes(source, bytes);
        const Device::Work work(source.device(), "it copies to the host");
        source.device().copy_to_host(out_data, source.bytes_data(), bytes);
    });
}

mezzo_status mezzo_tensor_copy(mezzo_tensor out_tensor, mezzo_tensor tensor) {
    using namespace mezzo;
    return guard("tensor_copy", [&] {
        const TensorRef to = require_tensor(out_tensor, "out_tensor");
        const TensorRef from = require_tensor(tensor, "tensor");
        expect_dtype(to, {from.dtype()});
        expect_same_elements(to, from);
        expect_in_place_or_no_overlap(to, from);
        copy(to, from);
    });
}
