// SPDX-License-Identifier: MIT
// Parameters to run optimizers on, in all dtypes, sizes and alignments.
#pragma once

#include <mezzo/ops.h>

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "support/every_device.h"
#include "support/oracle.h"

namespace mezzo::testing {

/// Which of a parameter's tensors begins where only its elements are aligned.
enum class Misaligned {
    kNone,
    kParam,
    kFirstState,
    kSecondState,
    kCopy,
    kGrad
};

constexpr mezzo_dtype kNoCopy{};

inline bool is_half_dtype(mezzo_dtype dtype) {
    return dtype == MEZZO_DTYPE_F16 || dtype == MEZZO_DTYPE_BF16;
}

/// What a parameter is computed in.
inline mezzo_dtype computed_dtype(mezzo_dtype dtype) {
    return is_half_dtype(dtype) ? MEZZO_DTYPE_F32 : dtype;
}

/// The dtypes that gradients of a parameter may have.
inline std::vector<mezzo_dtype> grad_dtypes(mezzo_dtype dtype) {
    if (is_half_dtype(dtype)) return {dtype, MEZZO_DTYPE_F32};
    return {dtype, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16};
}

/// The dtypes that copies of a parameter may have, and none.
inline std::vector<mezzo_dtype> copy_dtypes(mezzo_dtype dtype) {
    if (is_half_dtype(dtype)) return {kNoCopy};
    return {kNoCopy, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16};
}

constexpr mezzo_dtype kParamDTypes[] = {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16};

inline std::vector<mezzo_tensor> handles_of(const std::vector<TestTensor> &tensors) {
    return {tensors.begin(), tensors.end()};
}

/// Parameters with two states each, gradients and, where wanted, copies.
class OptimizerModel {
  public:
    void add(mezzo_dtype dtype, int64_t elements, mezzo_dtype grad_dtype, mezzo_dtype copy_dtype = kNoCopy,
             Misaligned misaligned = Misaligned::kParam) {
        const auto seed = static_cast<uint64_t>(params.size());
        const std::vector<double> zeros(static_cast<size_t>(elements), 0);
        const auto tensor = [&](Misaligned self, mezzo_dtype type, const std::vector<double> &values) {
            return self == misaligned ? TestTensor::misaligned(type, {elements}, values)
                                      : TestTensor(type, {elements}, values);
        };
        params.push_back(tensor(Misaligned::kParam, dtype, random_values(elements, 10 + seed)));
        first_states.push_back(tensor(Misaligned::kFirstState, computed_dtype(dtype), zeros));
        second_states.push_back(tensor(Misaligned::kSecondState, computed_dtype(dtype), zeros));
        grads.push_back(tensor(Misaligned::kGrad, grad_dtype, random_values(elements, 20 + seed)));
        copies.push_back(copy_dtype == kNoCopy ? TestTensor() : tensor(Misaligned::kCopy, copy_dtype, zeros));
    }

    /// Every combination of dtypes, small and large parameters.
    static OptimizerModel mixed() {
        OptimizerModel model;
        for (const mezzo_dtype dtype : kParamDTypes) {
            const bool copies = !is_half_dtype(dtype);
            for (const mezzo_dtype grad_dtype : grad_dtypes(dtype)) {
                model.add(dtype, 1, grad_dtype, copies ? MEZZO_DTYPE_F16 : kNoCopy);
                model.add(dtype, 30011, grad_dtype);
                model.add(dtype, 150, grad_dtype, copies ? MEZZO_DTYPE_BF16 : kNoCopy);
                model.add(dtype, 20000, grad_dtype, copies ? MEZZO_DTYPE_BF16 : kNoCopy);
                model.add(dtype, 7, grad_dtype);
            }
        }
        return model;
    }

    /// `count` parameters of odd sizes, below and above a tile of a CUDA kernel, of all dtypes, aligned in all ways.
    static OptimizerModel of(int count) {
        constexpr int64_t kSizes[] = {1, 150, 7, 2049, 33, 1023, 2048, 3, 4099, 512, 5};
        OptimizerModel model;
        for (int k = 0; k < count; ++k) {
            const mezzo_dtype dtype = kParamDTypes[k % 4];
            const auto grads = grad_dtypes(dtype);
            const auto copies = copy_dtypes(dtype);
            const int64_t elements = k < 44 ? kSizes[k % 11] : k % 97 + 1;
            model.add(dtype, elements, grads[static_cast<size_t>(k / 4) % grads.size()],
                      copies[static_cast<size_t>(k / 12) % copies.size()], static_cast<Misaligned>(k % 7 % 6));
        }
        return model;
    }

    /// The same on the CPU.
    OptimizerModel on_cpu() const {
        OptimizerModel model;
        for (const auto tensors : kLists) {
            for (const TestTensor &tensor : this->*tensors) (model.*tensors).push_back(testing::on_cpu(tensor));
        }
        model.step = testing::on_cpu(step);
        return model;
    }

    /// Inputs of a step with the model's step counter.
    mezzo_step_inputs inputs(mezzo_tensor grad_scale = {}, mezzo_tensor found_inf = {}) const {
        mezzo_step_inputs inputs{};
        inputs.struct_size = sizeof inputs;
        inputs.step = step;
        inputs.grad_scale = grad_scale;
        inputs.found_inf = found_inf;
        return inputs;
    }

    int32_t count() const { return static_cast<int32_t>(params.size()); }

    /// All bytes that a step may write.
    std::vector<uint8_t> bytes() const {
        std::vector<uint8_t> all = step.bytes();
        for (const auto tensors : kLists) {
            if (tensors == &OptimizerModel::grads) continue;
            for (const TestTensor &tensor : this->*tensors) {
                if (tensor.handle().id == 0) continue;
                const std::vector<uint8_t> part = tensor.bytes();
                all.insert(all.end(), part.begin(), part.end());
            }
        }
        return all;
    }

    std::vector<TestTensor> params, first_states, second_states, copies, grads;
    TestTensor step = TestTensor::scalar(MEZZO_DTYPE_I64, 0);

  private:
    static constexpr std::initializer_list<std::vector<TestTensor> OptimizerModel::*> kLists = {
        &OptimizerModel::params, &OptimizerModel::first_states, &OptimizerModel::second_states, &OptimizerModel::copies,
        &OptimizerModel::grads};
};

inline mezzo_status adam_step(const OptimizerModel &model, const mezzo_step_inputs &inputs,
                              const mezzo_adam_desc *desc = nullptr) {
    return mezzo_adam_step(handles_of(model.params).data(), handles_of(model.first_states).data(),
                           handles_of(model.second_states).data(), handles_of(model.copies).data(),
                           handles_of(model.grads).data(), model.count(), &inputs, desc);
}

inline mezzo_status sgd_step(const OptimizerModel &model, const mezzo_step_inputs &inputs,
                             const mezzo_sgd_desc *desc = nullptr) {
    return mezzo_sgd_step(handles_of(model.params).data(), handles_of(model.first_states).data(),
                          handles_of(model.copies).data(), handles_of(model.grads).data(), model.count(), &inputs,
                          desc);
}

inline mezzo_status lamb_step(const OptimizerModel &model, const mezzo_step_inputs &inputs,
                              const mezzo_lamb_desc *desc = nullptr) {
    return mezzo_lamb_step(handles_of(model.params).data(), handles_of(model.first_states).data(),
                           handles_of(model.second_states).data(), handles_of(model.copies).data(),
                           handles_of(model.grads).data(), model.count(), &inputs, desc);
}

} // namespace mezzo::testing
