// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/optimizer.h"
#include "support/status.h"
#include "support/thread_counts.h"

#if defined(MEZZO_CUDA_SIM)
#include <cuda_sim/control.h>
#endif

namespace mezzo::testing {
namespace {

using Model = OptimizerModel;

constexpr mezzo_lamb_desc lamb(double lr, double weight_decay, int grad_averaging = 1, int decay_of_update = 1,
                               int bias_correction = 1, int always_adapts = 0) {
    return {sizeof(mezzo_lamb_desc), grad_averaging, lr, 0.9, 0.999, 1e-6, weight_decay, decay_of_update,
            bias_correction,         always_adapts,  0};
}

/// Descriptors of all kinds.
constexpr mezzo_lamb_desc kDescriptors[] = {
    lamb(0.01, 0.01),
    lamb(0.01, 0),
    lamb(0.01, 0, 1, 1, 1, 1),
    lamb(0.01, 0.01, 0),
    lamb(0.01, 0.01, 1, 0),
    lamb(0.01, 0.01, 1, 1, 0),
    lamb(0.01, 0.1, 0, 0, 0, 1),
};

/// LAMB on one parameter as the paper and apex write it, in f64.
struct Reference {
    std::vector<double> p, m, v;

    explicit Reference(std::vector<double> params) : p(std::move(params)), m(p.size(), 0), v(p.size(), 0) {}

    void step(const std::vector<double> &grads, int t, const mezzo_lamb_desc &desc) {
        const double bc1 = desc.bias_correction == 1 ? 1 - std::pow(desc.beta1, t) : 1;
        const double bc2 = desc.bias_correction == 1 ? 1 - std::pow(desc.beta2, t) : 1;
        const double beta3 = desc.grad_averaging == 1 ? 1 - desc.beta1 : 1;
        std::vector<double> updates;
        double params_norm = 0;
        double updates_norm = 0;
        for (size_t i = 0; i < p.size(); ++i) {
            const double g = grads[i] + (desc.decay_of_update == 0 ? desc.weight_decay * p[i] : 0);
            m[i] = desc.beta1 * m[i] + beta3 * g;
            v[i] = desc.beta2 * v[i] + (1 - desc.beta2) * g * g;
            double u = m[i] / bc1 / (std::sqrt(v[i] / bc2) + desc.eps);
            if (desc.decay_of_update == 1) u += desc.weight_decay * p[i];
            updates.push_back(u);
            params_norm += p[i] * p[i];
            updates_norm += u * u;
        }
        double rate = desc.lr;
        const bool adapts = desc.weight_decay != 0 || desc.always_adapts == 1;
        if (adapts && params_norm != 0 && updates_norm != 0) rate *= std::sqrt(params_norm / updates_norm);
        for (size_t i = 0; i < p.size(); ++i) p[i] -= rate * updates[i];
    }
};

TEST(Lamb, Step_FollowsTheGoldenValues) {
    const std::vector<double> gradients = {0.1, -0.2, 0.05};
    const std::vector<double> golden = {.99, .9999, 1.009899};
    const mezzo_lamb_desc desc = lamb(0.01, 0.01);
    Model model;
    model.add(MEZZO_DTYPE_F64, 1, MEZZO_DTYPE_F64);
    model.params[0].write({1});
    for (size_t t = 0; t < golden.size(); ++t) {
        model.grads[0].write({gradients[t]});
        ASSERT_OK(lamb_step(model, model.inputs(), &desc));
        EXPECT_NEAR(model.params[0].item(), golden[t], 1e-9);
    }
}

TEST(Lamb, Step_StaysNearTheFormulaForEveryCombinationOfDTypes) {
    constexpr int kSteps = 4;
    for (const mezzo_lamb_desc &desc : kDescriptors) {
        for (const mezzo_dtype dtype : kParamDTypes) {
            // Roundings of p are 2^-11 and 2^-8 of values up to 1 for halves; all others are far smaller.
            const double tolerance = dtype == MEZZO_DTYPE_F64   ? 1e-13
                                     : dtype == MEZZO_DTYPE_F32 ? 1e-5
                                     : dtype == MEZZO_DTYPE_F16 ? kSteps * 0x1p-11
                                                                : kSteps * 0x1p-8;
            for (const mezzo_dtype grad_dtype : grad_dtypes(dtype)) {
                for (const mezzo_dtype copy_dtype : copy_dtypes(dtype)) {
                    Model model;
                    for (const int64_t elements : {1, 7, 1023, 9000})
                        model.add(dtype, elements, grad_dtype, copy_dtype);
                    std::vector<Reference> references;
                    for (const TestTensor &param : model.params) references.emplace_back(param.values());
                    for (int t = 1; t <= kSteps; ++t) {
                        ASSERT_OK(lamb_step(model, model.inputs(), &desc));
                        for (size_t k = 0; k < references.size(); ++k) {
                            references[k].step(model.grads[k].values(), t, desc);
                        }
                    }
                    for (size_t k = 0; k < references.size(); ++k) {
                        const std::vector<double> params = model.params[k].values();
                        for (size_t i = 0; i < params.size(); ++i) {
                            ASSERT_NEAR(params[i], references[k].p[i], tolerance) << k << ", " << i;
                        }
                        if (copy_dtype == kNoCopy) continue;
                        EXPECT_TRUE(is_identical(model.copies[k].values(), rounded(params, copy_dtype)));
                    }
                }
            }
        }
    }
}

TEST(Lamb, Step_ClipsWithoutEps) {
    const mezzo_lamb_desc desc = lamb(0.01, 0.01);
    for (const double norm : {0.5, 2.0, 40.0}) {
        Model model;
        model.add(MEZZO_DTYPE_F64, 1023, MEZZO_DTYPE_F64);
        Reference reference(model.params[0].values());
        std::vector<double> grads = model.grads[0].values();
        for (double &grad : grads) grad /= std::max(1.0, norm / 2);
        reference.step(grads, 1, desc);
        const TestTensor given = TestTensor::scalar(MEZZO_DTYPE_F64, norm);
        mezzo_step_inputs inputs = model.inputs();
        inputs.grad_norm = given;
        inputs.max_grad_norm = 2;
        ASSERT_OK(lamb_step(model, inputs, &desc));
        const std::vector<double> params = model.params[0].values();
        for (size_t i = 0; i < params.size(); ++i) ASSERT_NEAR(params[i], reference.p[i], 1e-14);
    }
}

TEST(Lamb, Step_OfZeros_TakesTheRateAsItIs) {
    const mezzo_lamb_desc desc = lamb(0.5, 0.01);
    Model model;
    model.add(MEZZO_DTYPE_F64, 3, MEZZO_DTYPE_F64);
    model.params[0].write({0, 0, 0});
    ASSERT_OK(lamb_step(model, model.inputs(), &desc));
    const std::vector<double> grads = model.grads[0].values();
    const std::vector<double> params = model.params[0].values();
    for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(params[i], -0.5 * grads[i] / (std::abs(grads[i]) + 1e-6), 1e-14);
    model.grads[0].write({0, 0, 0});
    model.params[0].write({0, 0, 0});
    model.first_states[0].write({0, 0, 0});
    ASSERT_OK(lamb_step(model, model.inputs(), &desc));
    EXPECT_EQ(model.params[0].values(), std::vector<double>(3, 0)) << "no updates, no change";
}

TEST(LambOnCpu, Step_DoesNotDependOnTheNumberOfThreads) {
    expect_same_bytes_on_any_threads([] {
        const Model model = Model::mixed();
        for (int t = 0; t < 2; ++t) EXPECT_OK(lamb_step(model, model.inputs()));
        return model.bytes();
    });
}

TEST(Lamb, OnEveryDevice_GivesTheSameBits) {
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 3);
    const TestTensor cpu_scale = on_cpu(scale);
    for (const int count : {0, 1, 2, 44, 200}) {
        for (const mezzo_lamb_desc &desc : kDescriptors) {
            const Model model = Model::of(count);
            const Model cpu = model.on_cpu();
            for (int t = 0; t < 2; ++t) {
                ASSERT_OK(lamb_step(model, model.inputs(scale), &desc));
                ASSERT_OK(lamb_step(cpu, cpu.inputs(cpu_scale), &desc));
            }
            ASSERT_EQ(model.bytes(), cpu.bytes()) << count << " parameters";
        }
    }
}

#if defined(MEZZO_CUDA_SIM)

TEST(Lamb, OnCuda_IsThreeLaunches) {
    if (test_device().type != MEZZO_DEVICE_TYPE_CUDA) return;
    Model model;
    for (int k = 0; k < 40; ++k) model.add(MEZZO_DTYPE_F32, 97 * k + 1, MEZZO_DTYPE_F32, MEZZO_DTYPE_BF16);
    cuda_sim::mark();
    ASSERT_OK(lamb_step(model, model.inputs()));
    EXPECT_EQ(cuda_sim::counters().kernels, 3);
}

#endif

TEST(Lamb, Step_RejectsBadDescriptors) {
    Model model;
    model.add(MEZZO_DTYPE_F32, 8, MEZZO_DTYPE_F32);
    const std::vector<uint8_t> before = model.bytes();
    const auto fails = [&](const char *text, auto change) {
        mezzo_lamb_desc desc = lamb(0.01, 0.01);
        change(desc);
        EXPECT_FAILS(lamb_step(model, model.inputs(), &desc), INVALID_ARGUMENT, text);
    };
    using Desc = mezzo_lamb_desc;
    fails("lamb_step: desc.struct_size is 8, expected 64", [](Desc &desc) { desc.struct_size = 8; });
    fails("lamb_step: desc.reserved is 1, expected 0", [](Desc &desc) { desc.reserved = 1; });
    fails("lamb_step: desc.grad_averaging is 2, expected 0 or 1", [](Desc &desc) { desc.grad_averaging = 2; });
    fails("lamb_step: desc.lr is -1, expected a finite number of at least 0", [](Desc &desc) { desc.lr = -1; });
    fails("lamb_step: desc.beta1 is 1, expected at least 0 and below 1", [](Desc &desc) { desc.beta1 = 1; });
    fails("lamb_step: desc.beta2 is nan, expected at least 0 and below 1", [](Desc &desc) { desc.beta2 = NAN; });
    fails("lamb_step: desc.eps is inf, expected a finite number of at least 0",
          [](Desc &desc) { desc.eps = INFINITY; });
    fails("lamb_step: desc.weight_decay is -1, expected a finite number of at least 0",
          [](Desc &desc) { desc.weight_decay = -1; });
    fails("lamb_step: desc.decay_of_update is 2, expected 0 or 1", [](Desc &desc) { desc.decay_of_update = 2; });
    fails("lamb_step: desc.bias_correction is -1, expected 0 or 1", [](Desc &desc) { desc.bias_correction = -1; });
    fails("lamb_step: desc.always_adapts is 2, expected 0 or 1", [](Desc &desc) { desc.always_adapts = 2; });
    EXPECT_EQ(model.bytes(), before) << "a failed call changes nothing";
}

} // namespace
} // namespace mezzo::testing
