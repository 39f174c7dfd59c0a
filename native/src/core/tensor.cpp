// SPDX-License-Identifier: MIT
#include "core/tensor.h"

#include "core/handle_table.h"

#include <algorithm>
#include <map>

namespace mezzo {
namespace {

// Never destroyed: threads of the program may outlive the library's statics.
HandleTable<Tensor> &handles() {
    static auto &table = *new HandleTable<Tensor>;
    return table;
}

// Checks a shape of the ABI and fills in dtype, rank, dims and elements, so that bytes() cannot overflow.
Tensor shaped_tensor(mezzo_dtype dtype, const int64_t *shape, int32_t rank) {
    const int64_t element_bytes = dtype_size(dtype);
    if (rank < 0 || rank > MEZZO_MAX_RANK) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "rank is %d, expected 0 to %d", rank, MEZZO_MAX_RANK);
    }
    if (rank > 0) require_pointer(shape, "shape");
    const std::span<const int64_t> dims(shape, static_cast<size_t>(rank));

    Tensor tensor{};
    tensor.dtype = dtype;
    tensor.rank = rank;
    tensor.elements = 1;
    int64_t bytes = element_bytes;
    for (size_t i = 0; i < dims.size(); ++i) {
        if (dims[i] < 1) {
            fail(MEZZO_STATUS_INVALID_ARGUMENT, "shape[%zu] is %lld, expected at least 1", i,
                 static_cast<long long>(dims[i]));
        }
        if (__builtin_mul_overflow(bytes, dims[i], &bytes)) {
            fail(MEZZO_STATUS_INVALID_ARGUMENT, "%s has more than 2^63 - 1 bytes", tensor_text(dtype, dims).c_str());
        }
        tensor.elements *= dims[i];
        tensor.dims[i] = dims[i];
    }
    return tensor;
}

mezzo_tensor issue(Tensor tensor) {
    Device &device = tensor.device();
    const mezzo_tensor handle{handles().insert(std::make_shared<const Tensor>(std::move(tensor)))};
    device.memory().count_tensors(1);
    return handle;
}

std::shared_ptr<const Tensor> find(mezzo_tensor handle, const std::string &name) {
    if (handle.id == 0) fail(MEZZO_STATUS_INVALID_HANDLE, "%s is the null tensor", name.c_str());
    std::shared_ptr<const Tensor> tensor = handles().find(handle.id);
    if (tensor == nullptr) {
        fail(MEZZO_STATUS_INVALID_HANDLE, "%s is 0x%llx, which is not the handle of a live tensor", name.c_str(),
             static_cast<unsigned long long>(handle.id));
    }
    return tensor;
}

/// An argument of an op. Its device is asked first whether it still answers and may be used by this thread now.
TensorRef argument(std::shared_ptr<const Tensor> tensor, std::string name) {
    const Device &device = tensor->device();
    device.expect_alive();
    if (Capture *capture = device.capture(); capture != nullptr) {
        capture->use(tensor->storage, tensor->data - tensor->storage->data());
    }
    return {std::move(tensor), std::move(name)};
}

std::string element_name(const char *name, int64_t index) {
    return name + ("[" + std::to_string(index) + "]");
}

/// The largest tensors of a device, by kind: "f32[20000,150] x 12 (144000000 bytes), ..."; "" when there is none.
std::string largest_holders(const Device &device) {
    std::map<std::string, std::pair<int64_t, int64_t>> kinds; // count and bytes of the storages seen first through one
    std::map<const Storage *, bool> seen;
    handles().for_each([&](const Tensor &tensor) {
        if (&tensor.device() != &device || !seen.emplace(tensor.storage.get(), true).second) return;
        auto &[count, bytes] = kinds[tensor_text(tensor.dtype, tensor.shape())];
        count += 1;
        bytes += tensor.storage->bytes();
    });
    std::vector<std::pair<int64_t, std::string>> order;
    for (const auto &[text, kind] : kinds) {
        order.emplace_back(kind.second,
                           text + " x " + std::to_string(kind.first) + " (" + std::to_string(kind.second) + " bytes)");
    }
    std::sort(order.rbegin(), order.rend());
    constexpr size_t kNamed = 3;
    std::string text;
    for (size_t i = 0; i < std::min(order.size(), kNamed); ++i) text += (i == 0 ? "" : ", ") + order[i].second;
    return text;
}

} // namespace

void rethrow_naming_holders(const Device &device) {
    try {
        throw;
    } catch (const Error &error) {
        if (error.status() != MEZZO_STATUS_OUT_OF_MEMORY) throw;
        const std::string holders = largest_holders(device);
        if (holders.empty()) throw;
        fail(MEZZO_STATUS_OUT_OF_MEMORY, "%s; the largest tensors are %s", error.what(), holders.c_str());
    }
}

mezzo_tensor create_tensor(mezzo_device device, mezzo_dtype dtype, const int64_t *shape, int32_t rank) {
    Device &owner = require_device(device);
    Tensor tensor = shaped_tensor(dtype, shape, rank);
    naming_holders(owner, [&] { tensor.storage = std::make_shared<Storage>(owner, tensor.bytes()); });
    tensor.data = tensor.storage->data();
    return issue(std::move(tensor));
}

mezzo_tensor create_view(mezzo_tensor base, int64_t offset, const int64_t *shape, int32_t rank) {
    const std::shared_ptr<const Tensor> from = find(base, "base");
    Tensor tensor = shaped_tensor(from->dtype, shape, rank);
    if (offset < 0 || offset > from->elements - tensor.elements) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT,
             "offset is %lld and the view %s, expected both to fit into base, which is %s",
             static_cast<long long>(offset), tensor_text(tensor.dtype, tensor.shape()).c_str(),
             tensor_text(from->dtype, from->shape()).c_str());
    }
    tensor.storage = from->storage;
    tensor.data = from->data + offset * dtype_size(from->dtype);
    return issue(std::move(tensor));
}

TensorRef require_tensor(mezzo_tensor handle, const char *name) {
    return argument(find(handle, name), name);
}

TensorRef require_tensor(mezzo_tensor handle, const char *name, int64_t index) {
    std::string full_name = element_name(name, index);
    return argument(find(handle, full_name), full_name);
}

TensorRef optional_tensor(mezzo_tensor handle, const char *name) {
    return handle.id == 0 ? TensorRef(nullptr, name) : require_tensor(handle, name);
}

TensorRef optional_tensor(mezzo_tensor handle, const char *name, int64_t index) {
    return handle.id == 0 ? TensorRef(nullptr, element_name(name, index)) : require_tensor(handle, name, index);
}

std::string tensor_text(mezzo_dtype dtype, std::span<const int64_t> shape) {
    std::string text = dtype_name(dtype);
    text += '[';
    for (size_t i = 0; i < shape.size(); ++i) {
        if (i != 0) text += ',';
        text += std::to_string(shape[i]);
    }
    return text + ']';
}

std::string TensorRef::text() const {
    return tensor_text(dtype(), shape());
}

void TensorRef::fail_type(mezzo_dtype read_as) const {
    fail(MEZZO_STATUS_INTERNAL, "%s is %s and was read as %s", name().c_str(), text().c_str(), dtype_name(read_as));
}

} // namespace mezzo

mezzo_status mezzo_tensor_create(mezzo_tensor *out_tensor, mezzo_device device, mezzo_dtype dtype, const int64_t *shape,
                                 int32_t rank) {
    using namespace mezzo;
    return guard("tensor_create", [&] {
        mezzo_tensor &tensor = require_pointer(out_tensor, "out_tensor");
        tensor = create_tensor(device, dtype, shape, rank);
    });
}

mezzo_status mezzo_tensor_view(mezzo_tensor *out_tensor, mezzo_tensor base, int64_t offset, const int64_t *shape,
                               int32_t rank) {
    using namespace mezzo;
    return guard("tensor_view", [&] {
        mezzo_tensor &tensor = require_pointer(out_tensor, "out_tensor");
        tensor = create_view(base, offset, shape, rank);
    });
}

mezzo_status mezzo_tensor_destroy(mezzo_tensor tensor) {
    using namespace mezzo;
    return guard("tensor_destroy", [&] {
        if (tensor.id == 0) return;
        const std::shared_ptr<const Tensor> removed = handles().remove(tensor.id);
        if (removed == nullptr) {
            fail(MEZZO_STATUS_INVALID_HANDLE, "tensor is 0x%llx, which is not the handle of a live tensor",
                 static_cast<unsigned long long>(tensor.id));
        }
        removed->device().memory().count_tensors(-1);
    });
}

mezzo_status mezzo_tensor_describe(mezzo_tensor_info *out_info, mezzo_tensor tensor) {
    using namespace mezzo;
    return guard("tensor_describe", [&] {
        mezzo_tensor_info &info = require_pointer(out_info, "out_info");
        const std::shared_ptr<const Tensor> described = find(tensor, "tensor");
        info = {};
        info.device = described->device().id();
        info.dtype = described->dtype;
        info.rank = described->rank;
        info.elements = described->elements;
        info.bytes = described->bytes();
        std::copy(described->shape().begin(), described->shape().end(), info.shape);
    });
}
