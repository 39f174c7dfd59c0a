// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "ops/adam.h"
#include "support/enum.h"
#include "support/optimizer.h"
#include "support/status.h"
#include "support/thread_counts.h"

#if defined(MEZZO_CUDA_SIM)
#include <cuda_sim/control.h>
#endif

namespace mezzo::testing {
namespace {

using Model = OptimizerModel;

constexpr mezzo_adam_desc adam(double lr, double eps, double weight_decay,
                               mezzo_weight_decay decay = MEZZO_WEIGHT_DECAY_L2,
                               mezzo_bias_correction correction = MEZZO_BIAS_CORRECTION_MOMENTS, int eps_inside = 0) {
    return {sizeof(mezzo_adam_desc), 0, lr, 0.9, 0.999, eps, weight_decay, decay, correction, eps_inside, 0};
}

constexpr mezzo_adam_desc kDefaults = adam(1e-3, 1e-8, 0);
constexpr mezzo_adam_desc kWithDecay = adam(0.01, 1e-8, 0.01);

/// An optimizer of the Adam family, with the golden values of its source's formula.
struct Flavor {
    const char *name;
    mezzo_adam_desc desc;
    std::vector<double> golden;
};

const std::vector<Flavor> &flavors() {
    static const std::vector<Flavor> all = {
        {"Adam", kWithDecay, {0.990000000909, 0.993086960393, 0.993706295887}},
        {"AdamW and apex's FusedAdam",
         adam(0.01, 1e-8, 0.01, MEZZO_WEIGHT_DECAY_PARAMETER),
         {0.989900001, 0.993462046039, 0.994729606361}},
        {"legacy FusedAdam",
         adam(0.01, 1e-8, 0.01, MEZZO_WEIGHT_DECAY_STEP_SIZE, MEZZO_BIAS_CORRECTION_STEP_SIZE),
         {0.989968408846, 0.993606143326, 0.994952976172}},
        {"legacy FusedAdam without bias correction",
         adam(0.01, 1e-8, 0.01, MEZZO_WEIGHT_DECAY_STEP_SIZE, MEZZO_BIAS_CORRECTION_NONE),
         {0.968277323398, 0.983738378716, 0.990406505053}},
        {"BertAdam",
         adam(0.01, 1e-6, 0.01, MEZZO_WEIGHT_DECAY_STEP_SIZE, MEZZO_BIAS_CORRECTION_NONE),
         {0.968287220237, 0.983746096441, 0.990413297078}},
        {"AdamW of transformers",
         adam(0.01, 1e-6, 0.01, MEZZO_WEIGHT_DECAY_AFTER, MEZZO_BIAS_CORRECTION_STEP_SIZE),
         {0.989904160962, 0.993465322037, 0.994732556731}},
    };
    return all;
}

/// Descriptors of all kinds: each flavor, and what no flavor uses.
std::vector<mezzo_adam_desc> descriptors() {
    std::vector<mezzo_adam_desc> all = {kDefaults};
    for (const Flavor &flavor : flavors()) all.push_back(flavor.desc);
    all.push_back(adam(0.01, 1e-8, 0.01, MEZZO_WEIGHT_DECAY_STEP_SIZE, MEZZO_BIAS_CORRECTION_STEP_SIZE, 1));
    all.push_back(adam(0.01, 1e-3, 0.01, MEZZO_WEIGHT_DECAY_AFTER, MEZZO_BIAS_CORRECTION_MOMENTS, 1));
    return all;
}

mezzo_status run(const Model &model, const mezzo_adam_desc *desc, mezzo_tensor grad_scale = {},
                 mezzo_tensor found_inf = {}) {
    return adam_step(model, model.inputs(grad_scale, found_inf), desc);
}

/// Adam on one element as the sources write it, every operation rounded to T.
template <class T>
struct Reference {
    T p;
    T m = 0;
    T v = 0;

    void step(double grad, double t, const mezzo_adam_desc &desc) {
        T g = static_cast<T>(grad);
        if (desc.decay == MEZZO_WEIGHT_DECAY_L2 && desc.weight_decay != 0) g += static_cast<T>(desc.weight_decay) * p;
        m = static_cast<T>(desc.beta1) * m + static_cast<T>(1 - desc.beta1) * g;
        v = static_cast<T>(desc.beta2) * v + static_cast<T>(1 - desc.beta2) * g * g;
        const double bc1 = 1 - std::pow(desc.beta1, t);
        const double bc2 = 1 - std::pow(desc.beta2, t);
        double step_size = desc.lr;
        T denominator = desc.eps_inside_sqrt == 1 ? std::sqrt(v + static_cast<T>(desc.eps)) : std::sqrt(v);
        if (desc.bias_correction == MEZZO_BIAS_CORRECTION_MOMENTS) {
            step_size = desc.lr / bc1;
            denominator /= static_cast<T>(std::sqrt(bc2));
        } else if (desc.bias_correction == MEZZO_BIAS_CORRECTION_STEP_SIZE) {
            step_size = desc.lr * std::sqrt(bc2) / bc1;
        }
        if (desc.eps_inside_sqrt == 0) denominator += static_cast<T>(desc.eps);
        const T change = static_cast<T>(step_size) * m / denominator;
        if (desc.decay == MEZZO_WEIGHT_DECAY_PARAMETER) p -= static_cast<T>(desc.lr * desc.weight_decay) * p;
        if (desc.decay == MEZZO_WEIGHT_DECAY_STEP_SIZE) p -= static_cast<T>(step_size * desc.weight_decay) * p;
        p -= change;
        if (desc.decay == MEZZO_WEIGHT_DECAY_AFTER) p -= static_cast<T>(desc.lr * desc.weight_decay) * p;
    }
};

/// Parameters of a dtype after some steps with the same gradients, computed in T.
template <class T>
std::vector<double> reference(mezzo_dtype dtype, const std::vector<double> &params, const std::vector<double> &grads,
                              int steps, double scale, const mezzo_adam_desc &desc) {
    const auto factor = static_cast<T>(static_cast<float>(1 / scale));
    std::vector<double> results = params;
    for (size_t i = 0; i < params.size(); ++i) {
        Reference<T> element{static_cast<T>(params[i])};
        for (int t = 1; t <= steps; ++t) {
            element.step(static_cast<T>(grads[i]) * factor, t, desc);
            if (is_half_dtype(dtype)) element.p = static_cast<T>(rounded({static_cast<double>(element.p)}, dtype)[0]);
        }
        results[i] = static_cast<double>(element.p);
    }
    return results;
}

std::vector<double> expected(const Model &model, size_t k, int steps, double scale, const mezzo_adam_desc &desc) {
    const mezzo_dtype dtype = model.params[k].info().dtype;
    const auto compute = dtype == MEZZO_DTYPE_F64 ? reference<double> : reference<float>;
    return compute(dtype, model.params[k].values(), model.grads[k].values(), steps, scale, desc);
}

TEST(Adam, Step_FollowsTheGoldenValuesOfEachFlavor) {
    const std::vector<double> gradients = {0.1, -0.2, 0.05};
    for (const Flavor &flavor : flavors()) {
        Model model;
        model.add(MEZZO_DTYPE_F64, 1, MEZZO_DTYPE_F64);
        model.params[0].write({1});
        for (size_t t = 0; t < flavor.golden.size(); ++t) {
            model.grads[0].write({gradients[t]});
            ASSERT_OK(run(model, &flavor.desc));
            EXPECT_NEAR(model.params[0].item(), flavor.golden[t], 1e-9) << flavor.name; // the golden values' precision
            EXPECT_EQ(model.step.item(), static_cast<double>(t + 1));
        }
    }
}

TEST(Adam, Step_IsTheFormulaToTheBitForEveryCombinationOfDTypes) {
    constexpr int kSteps = 3;
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 3);
    for (const mezzo_adam_desc &desc : descriptors()) {
        for (const mezzo_dtype dtype : kParamDTypes) {
            for (const mezzo_dtype grad_dtype : grad_dtypes(dtype)) {
                for (const mezzo_dtype copy_dtype : copy_dtypes(dtype)) {
                    Model model;
                    for (const int64_t elements : {1, 7, 64, 1023}) model.add(dtype, elements, grad_dtype, copy_dtype);
                    std::vector<std::vector<double>> after, grads;
                    for (size_t k = 0; k < model.params.size(); ++k) {
                        after.push_back(expected(model, k, kSteps, 3, desc));
                        grads.push_back(model.grads[k].values());
                    }
                    for (int t = 0; t < kSteps; ++t) ASSERT_OK(run(model, &desc, scale));
                    for (size_t k = 0; k < model.params.size(); ++k) {
                        EXPECT_TRUE(is_identical(model.params[k].values(), after[k]));
                        EXPECT_TRUE(is_identical(model.grads[k].values(), grads[k]))
                            << "gradients are left as they are";
                        if (copy_dtype == kNoCopy) continue;
                        EXPECT_TRUE(is_identical(model.copies[k].values(), rounded(after[k], copy_dtype)));
                    }
                }
            }
        }
    }
}

TEST(Adam, Step_StaysNearTheFormulaInF64) {
    Model model;
    model.add(MEZZO_DTYPE_F32, 1023, MEZZO_DTYPE_F32);
    constexpr int kSteps = 20;
    // Each step rounds the parameter once and its change, far below the parameter's bound of 1.02, a few times.
    const std::vector<double> after =
        reference<double>(MEZZO_DTYPE_F64, model.params[0].values(), model.grads[0].values(), kSteps, 1, kDefaults);
    for (int t = 0; t < kSteps; ++t) ASSERT_OK(run(model, nullptr));
    EXPECT_TRUE(is_near(model.params[0].values(), {after, std::vector<double>(after.size(), 1.02)},
                        {MEZZO_DTYPE_F32, MEZZO_DTYPE_F32, kSteps + 1}));
}

TEST(Adam, Step_UpdatesListsOfMixedDTypesAndSizes) {
    const Model model = Model::mixed();
    std::vector<std::vector<double>> after;
    for (size_t k = 0; k < model.params.size(); ++k) after.push_back(expected(model, k, 1, 1, kWithDecay));
    ASSERT_OK(run(model, &kWithDecay));
    for (size_t k = 0; k < model.params.size(); ++k) {
        EXPECT_TRUE(is_identical(model.params[k].values(), after[k])) << k;
        if (model.copies[k].handle().id == 0) continue;
        EXPECT_TRUE(is_identical(model.copies[k].values(), rounded(after[k], model.copies[k].info().dtype))) << k;
    }
}

TEST(AdamOnCpu, Step_DoesNotDependOnTheNumberOfThreads) {
    expect_same_bytes_on_any_threads([] {
        const Model model = Model::mixed();
        for (int t = 0; t < 2; ++t) EXPECT_OK(run(model, &kWithDecay));
        return model.bytes();
    });
}

TEST(Adam, Step_LetsInfAndNaNIntoTheirElementsAlone) {
    Model model;
    model.add(MEZZO_DTYPE_F32, 64, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16);
    std::vector<double> grads(64, 1);
    grads[13] = NAN;
    grads[40] = INFINITY;
    model.grads[0].write(grads);
    ASSERT_OK(run(model, nullptr));
    const std::vector<double> params = model.params[0].values();
    for (size_t i = 0; i < params.size(); ++i) EXPECT_EQ(std::isnan(params[i]), i == 13 || i == 40) << i;
}

TEST(Adam, Step_WithoutWeightDecay_KeepsInfiniteParametersOutOfTheMoments) {
    for (const mezzo_dtype dtype : kParamDTypes) {
        for (mezzo_adam_desc desc : descriptors()) {
            desc.weight_decay = 0;
            Model model;
            model.add(dtype, 3, dtype);
            model.params[0].write({INFINITY, -static_cast<double>(INFINITY), 1});
            const std::vector<double> grads = model.grads[0].values();
            ASSERT_OK(run(model, &desc));
            const std::vector<double> params = model.params[0].values();
            EXPECT_EQ(params[0], INFINITY);
            EXPECT_EQ(params[1], -INFINITY);
            const std::vector<double> moments = model.first_states[0].values();
            for (size_t i = 0; i < moments.size(); ++i) {
                EXPECT_EQ(std::signbit(moments[i]), std::signbit(grads[i])) << i;
            }
            for (const double moment : moments) EXPECT_TRUE(std::isfinite(moment));
        }
    }
}

TEST(Adam, OnEveryDevice_GivesTheSameBits) {
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 3);
    const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
    const TestTensor cpu_scale = on_cpu(scale);
    const TestTensor cpu_found_inf = on_cpu(found_inf);
    for (const int count : {0, 1, 2, 44, 500}) {
        for (const mezzo_adam_desc &desc : count == 44 ? descriptors() : std::vector{kWithDecay}) {
            const Model model = Model::of(count);
            model.step.write({count == 44 ? 12345.0 : 0.0});
            const Model cpu = model.on_cpu();
            for (int t = 0; t < 2; ++t) {
                ASSERT_OK(run(model, &desc, scale, found_inf));
                ASSERT_OK(run(cpu, &desc, cpu_scale, cpu_found_inf));
            }
            ASSERT_EQ(model.bytes(), cpu.bytes()) << count << " parameters";
        }
    }
}

TEST(Adam, OnEveryDevice_GivesTheSameBitsForExtremeNumbers) {
    for (const mezzo_dtype dtype : kParamDTypes) {
        std::vector<double> finite = special_values(dtype);
        std::erase_if(finite, [](double value) { return !std::isfinite(value); });
        Model model;
        model.add(dtype, static_cast<int64_t>(finite.size()), dtype, is_half_dtype(dtype) ? kNoCopy : MEZZO_DTYPE_F16);
        model.grads[0].write(finite);
        model.params[0].write({finite.rbegin(), finite.rend()});
        const Model cpu = model.on_cpu();
        for (int t = 0; t < 3; ++t) {
            ASSERT_OK(run(model, &kWithDecay));
            ASSERT_OK(run(cpu, &kWithDecay));
        }
        EXPECT_EQ(model.bytes(), cpu.bytes());
    }
}

#if defined(MEZZO_CUDA_SIM)

int64_t launches_of(const Model &model) {
    cuda_sim::mark();
    EXPECT_OK(run(model, nullptr));
    return cuda_sim::counters().kernels;
}

TEST(Adam, OnCuda_IsOneLaunchForParametersWithTheSameDTypes) {
    if (test_device().type != MEZZO_DEVICE_TYPE_CUDA) return;
    EXPECT_EQ(launches_of(Model()), 1) << "which counts the step";
    constexpr int kHeld = 54;
    Model model;
    for (int k = 0; k < kHeld; ++k) model.add(MEZZO_DTYPE_F32, k + 1, MEZZO_DTYPE_BF16, MEZZO_DTYPE_BF16);
    EXPECT_EQ(launches_of(model), 1);
    for (int k = 0; k < kHeld; ++k) model.add(MEZZO_DTYPE_F32, k + 1, MEZZO_DTYPE_BF16, MEZZO_DTYPE_BF16);
    EXPECT_EQ(launches_of(model), 2) << "more than a kernel's parameters hold";
    for (int k = 0; k < kHeld; ++k) model.add(MEZZO_DTYPE_F32, k + 1, MEZZO_DTYPE_F32);
    EXPECT_EQ(launches_of(model), 3);
    Model weights_and_biases;
    for (int k = 0; k < 8; ++k) {
        weights_and_biases.add(MEZZO_DTYPE_F32, 64, MEZZO_DTYPE_F32, MEZZO_DTYPE_F16);
        weights_and_biases.add(MEZZO_DTYPE_F32, 8, MEZZO_DTYPE_F32);
        weights_and_biases.add(MEZZO_DTYPE_F32, 8, MEZZO_DTYPE_F32, MEZZO_DTYPE_BF16);
    }
    EXPECT_EQ(launches_of(weights_and_biases), 1) << "with copies and without";
}

#endif

/// Expects power() to be the library's pow, or next to it.
void expect_pow(double base, uint64_t exponent) {
    const double expected = std::pow(base, static_cast<double>(exponent));
    const double place = std::nextafter(expected, 2.0) - expected;
    EXPECT_LE(std::abs(power(base, exponent) - expected), place) << base << "^" << exponent;
}

TEST(AdamOnCpu, Power_IsTheLibrarysPowToTheLastPlace) {
    for (const double base : {0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 0.9999, 1 - 1e-6, 1 - 0x1p-53, 1.0}) {
        for (uint64_t exponent = 1; exponent < 20000; ++exponent) expect_pow(base, exponent);
        for (uint64_t exponent = 1; exponent < 100000000; exponent = 3 * exponent + 1) expect_pow(base, exponent);
        EXPECT_EQ(power(base, 0), 1);
        EXPECT_EQ(power(base, 1), base);
    }
    EXPECT_EQ(power(0.999, ~uint64_t{0}), 0);
}

TEST(Adam, Step_RejectsBadDescriptors) {
    Model model;
    model.add(MEZZO_DTYPE_F32, 8, MEZZO_DTYPE_F32);
    const std::vector<uint8_t> before = model.bytes();
    const auto fails = [&](const char *text, auto change) {
        mezzo_adam_desc desc = kDefaults;
        change(desc);
        EXPECT_FAILS(run(model, &desc), INVALID_ARGUMENT, text);
    };
    using Desc = mezzo_adam_desc;
    fails("adam_step: desc.struct_size is 8, expected 64", [](Desc &desc) { desc.struct_size = 8; });
    fails("adam_step: desc.reserved is 1, expected 0", [](Desc &desc) { desc.reserved = 1; });
    fails("adam_step: desc.reserved2 is 1, expected 0", [](Desc &desc) { desc.reserved2 = 1; });
    fails("adam_step: desc.lr is -1, expected a finite number of at least 0", [](Desc &desc) { desc.lr = -1; });
    fails("adam_step: desc.beta1 is 1, expected at least 0 and below 1", [](Desc &desc) { desc.beta1 = 1; });
    fails("adam_step: desc.beta2 is nan, expected at least 0 and below 1", [](Desc &desc) { desc.beta2 = NAN; });
    fails("adam_step: desc.eps is -1e-08, expected a finite number of at least 0",
          [](Desc &desc) { desc.eps = -1e-8; });
    fails("adam_step: desc.weight_decay is inf, expected a finite number of at least 0",
          [](Desc &desc) { desc.weight_decay = INFINITY; });
    fails("adam_step: desc.decay is 4, expected a mezzo_weight_decay (0 to 3)",
          [](Desc &desc) { desc.decay = enum_of<mezzo_weight_decay>(4); });
    fails("adam_step: desc.bias_correction is -1, expected a mezzo_bias_correction (0 to 2)",
          [](Desc &desc) { desc.bias_correction = enum_of<mezzo_bias_correction>(-1); });
    fails("adam_step: desc.eps_inside_sqrt is 2, expected 0 or 1", [](Desc &desc) { desc.eps_inside_sqrt = 2; });
    EXPECT_EQ(model.bytes(), before) << "a failed call changes nothing";
}

} // namespace
} // namespace mezzo::testing
