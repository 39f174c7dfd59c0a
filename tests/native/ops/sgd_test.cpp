// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/optimizer.h"
#include "support/status.h"
#include "support/thread_counts.h"

namespace mezzo::testing {
namespace {

using Model = OptimizerModel;

constexpr mezzo_sgd_desc sgd(double lr, double momentum = 0, double weight_decay = 0, double dampening = 0,
                             int nesterov = 0, int decay_after_momentum = 0) {
    return {sizeof(mezzo_sgd_desc), nesterov, lr, momentum, dampening, weight_decay, decay_after_momentum, 0};
}

/// Descriptors of all kinds.
constexpr mezzo_sgd_desc kDescriptors[] = {
    sgd(1e-3),
    sgd(0.1, 0, 0.01),
    sgd(0.1, 0, 0.01, 0, 0, 1),
    sgd(0.1, 0.9),
    sgd(0.1, 0.9, 0.01, 0.5),
    sgd(0.1, 0.9, 0.01, 0, 1),
    sgd(0.1, 0.9, 0.01, 0, 1, 1),
    sgd(0.1, 0.9, 0.01, 0.25, 0, 1),
};

/// SGD on one element as the sources write it, every operation rounded to T.
template <class T>
struct Reference {
    T p;
    T buffer = 0;

    void step(T g, int t, const mezzo_sgd_desc &desc) {
        const bool after = desc.decay_after_momentum == 1;
        if (desc.weight_decay != 0 && !after) g += static_cast<T>(desc.weight_decay) * p;
        T d = g;
        if (desc.momentum != 0) {
            buffer = t == 1 ? g : static_cast<T>(desc.momentum) * buffer + static_cast<T>(1 - desc.dampening) * g;
            d = desc.nesterov == 1 ? g + static_cast<T>(desc.momentum) * buffer : buffer;
        }
        if (desc.weight_decay != 0 && after) d += static_cast<T>(desc.weight_decay) * p;
        p -= static_cast<T>(desc.lr) * d;
    }
};

template <class T>
std::vector<double> reference(const Model &model, size_t k, int steps, const mezzo_sgd_desc &desc) {
    const mezzo_dtype dtype = model.params[k].info().dtype;
    const std::vector<double> grads = model.grads[k].values();
    std::vector<double> results = model.params[k].values();
    for (size_t i = 0; i < results.size(); ++i) {
        Reference<T> element{static_cast<T>(results[i])};
        for (int t = 1; t <= steps; ++t) {
            element.step(static_cast<T>(grads[i]), t, desc);
            if (is_half_dtype(dtype)) element.p = static_cast<T>(rounded({static_cast<double>(element.p)}, dtype)[0]);
        }
        results[i] = static_cast<double>(element.p);
    }
    return results;
}

std::vector<double> expected(const Model &model, size_t k, int steps, const mezzo_sgd_desc &desc) {
    return model.params[k].info().dtype == MEZZO_DTYPE_F64 ? reference<double>(model, k, steps, desc)
                                                           : reference<float>(model, k, steps, desc);
}

TEST(Sgd, Step_IsTheFormulaToTheBitForEveryCombinationOfDTypes) {
    constexpr int kSteps = 3;
    for (const mezzo_sgd_desc &desc : kDescriptors) {
        for (const mezzo_dtype dtype : kParamDTypes) {
            for (const mezzo_dtype grad_dtype : grad_dtypes(dtype)) {
                for (const mezzo_dtype copy_dtype : copy_dtypes(dtype)) {
                    Model model;
                    for (const int64_t elements : {1, 7, 64, 1023}) model.add(dtype, elements, grad_dtype, copy_dtype);
                    std::vector<std::vector<double>> after;
                    for (size_t k = 0; k < model.params.size(); ++k) after.push_back(expected(model, k, kSteps, desc));
                    for (int t = 0; t < kSteps; ++t) ASSERT_OK(sgd_step(model, model.inputs(), &desc));
                    for (size_t k = 0; k < model.params.size(); ++k) {
                        EXPECT_TRUE(is_identical(model.params[k].values(), after[k]));
                        if (copy_dtype == kNoCopy) continue;
                        EXPECT_TRUE(is_identical(model.copies[k].values(), rounded(after[k], copy_dtype)));
                    }
                }
            }
        }
    }
}

TEST(Sgd, Step_TakesTheFirstGradientAsItIs_WhateverTheBufferHolds) {
    const mezzo_sgd_desc desc = sgd(0.1, 0.9, 0, 0.5);
    Model model;
    model.add(MEZZO_DTYPE_F32, 8, MEZZO_DTYPE_F32);
    model.first_states[0].write(std::vector<double>(8, NAN));
    ASSERT_OK(sgd_step(model, model.inputs(), &desc));
    EXPECT_EQ(model.first_states[0].values(), model.grads[0].values());
}

TEST(SgdOnCpu, Step_DoesNotDependOnTheNumberOfThreads) {
    expect_same_bytes_on_any_threads([] {
        const Model model = Model::mixed();
        const mezzo_sgd_desc desc = sgd(0.1, 0.9, 0.01, 0, 1);
        for (int t = 0; t < 2; ++t) EXPECT_OK(sgd_step(model, model.inputs(), &desc));
        return model.bytes();
    });
}

TEST(Sgd, OnEveryDevice_GivesTheSameBits) {
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 3);
    const TestTensor cpu_scale = on_cpu(scale);
    for (const int count : {0, 1, 2, 44, 500}) {
        for (const mezzo_sgd_desc &desc : kDescriptors) {
            const Model model = Model::of(count);
            const Model cpu = model.on_cpu();
            for (int t = 0; t < 2; ++t) {
                ASSERT_OK(sgd_step(model, model.inputs(scale), &desc));
                ASSERT_OK(sgd_step(cpu, cpu.inputs(cpu_scale), &desc));
            }
            ASSERT_EQ(model.bytes(), cpu.bytes()) << count << " parameters";
        }
    }
}

TEST(Sgd, WithoutMomentum_NeedsNoBuffers) {
    Model model;
    model.add(MEZZO_DTYPE_F32, 8, MEZZO_DTYPE_F32);
    const mezzo_tensor param = model.params[0];
    const mezzo_tensor grad = model.grads[0];
    const mezzo_step_inputs inputs = model.inputs();
    EXPECT_OK(mezzo_sgd_step(&param, nullptr, nullptr, &grad, 1, &inputs, nullptr));
    const mezzo_sgd_desc desc = sgd(0.1, 0.9);
    EXPECT_FAILS(mezzo_sgd_step(&param, nullptr, nullptr, &grad, 1, &inputs, &desc), INVALID_ARGUMENT,
                 "sgd_step: momentum_buffers is a null pointer");
}

TEST(Sgd, Step_RejectsBadDescriptors) {
    Model model;
    model.add(MEZZO_DTYPE_F32, 8, MEZZO_DTYPE_F32);
    const std::vector<uint8_t> before = model.bytes();
    const auto fails = [&](const char *text, auto change) {
        mezzo_sgd_desc desc = sgd(0.1, 0.9);
        change(desc);
        EXPECT_FAILS(sgd_step(model, model.inputs(), &desc), INVALID_ARGUMENT, text);
    };
    using Desc = mezzo_sgd_desc;
    fails("sgd_step: desc.struct_size is 8, expected 48", [](Desc &desc) { desc.struct_size = 8; });
    fails("sgd_step: desc.reserved is 1, expected 0", [](Desc &desc) { desc.reserved = 1; });
    fails("sgd_step: desc.lr is nan, expected a finite number of at least 0", [](Desc &desc) { desc.lr = NAN; });
    fails("sgd_step: desc.momentum is 1, expected at least 0 and below 1", [](Desc &desc) { desc.momentum = 1; });
    fails("sgd_step: desc.dampening is 1.5, expected from 0 to 1", [](Desc &desc) { desc.dampening = 1.5; });
    fails("sgd_step: desc.weight_decay is -1, expected a finite number of at least 0",
          [](Desc &desc) { desc.weight_decay = -1; });
    fails("sgd_step: desc.nesterov is 2, expected 0 or 1", [](Desc &desc) { desc.nesterov = 2; });
    fails("sgd_step: desc.decay_after_momentum is 2, expected 0 or 1",
          [](Desc &desc) { desc.decay_after_momentum = 2; });
    const char *nesterov =
        "sgd_step: desc.momentum is 0 and desc.dampening 0, expected momentum above 0 and no dampening with "
        "desc.nesterov";
    fails(nesterov, [](Desc &desc) { desc = sgd(0.1, 0, 0, 0, 1); });
    EXPECT_EQ(model.bytes(), before) << "a failed call changes nothing";
}

} // namespace
} // namespace mezzo::testing
