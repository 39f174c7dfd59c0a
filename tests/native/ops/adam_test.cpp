// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "ops/adam.h"
#include "support/every_device.h"
#include "support/oracle.h"
#include "support/thread_counts.h"

#if defined(MEZZO_CUDA_SIM)
#include <cuda_sim/control.h>
#endif

namespace mezzo::testing {
namespace {

constexpr mezzo_adam_desc kDefaults = {sizeof(mezzo_adam_desc), 0, 1e-3, 0.9, 0.999, 1e-8, 0};
constexpr mezzo_adam_desc kWithDecay = {sizeof(mezzo_adam_desc), 0, 0.01, 0.9, 0.999, 1e-8, 0.01};

/// Which of a parameter's tensors begins where only its elements are aligned.
enum class Misaligned {
    kNone,
    kParam,
    kExpAvg,
    kExpAvgSq,
    kCopy,
    kGrad
};

/// Parameters with their moments, gradients and, where wanted, copies.
class Model {
  public:
    void add(mezzo_dtype dtype, int64_t elements, mezzo_dtype grad_dtype, mezzo_dtype copy_dtype = {},
             Misaligned misaligned = Misaligned::kParam) {
        const auto seed = static_cast<uint64_t>(params.size());
        const std::vector<double> zeros(static_cast<size_t>(elements), 0);
        const auto tensor = [&](Misaligned self, mezzo_dtype type, const std::vector<double> &values) {
            return self == misaligned ? TestTensor::misaligned(type, {elements}, values)
                                      : TestTensor(type, {elements}, values);
        };
        params.push_back(tensor(Misaligned::kParam, dtype, random_values(elements, 10 + seed)));
        exp_avgs.push_back(tensor(Misaligned::kExpAvg, dtype, zeros));
        exp_avg_sqs.push_back(tensor(Misaligned::kExpAvgSq, dtype, zeros));
        grads.push_back(tensor(Misaligned::kGrad, grad_dtype, random_values(elements, 20 + seed)));
        copies.push_back(copy_dtype == mezzo_dtype{} ? TestTensor() : tensor(Misaligned::kCopy, copy_dtype, zeros));
    }

    /// The same on the CPU.
    Model on_cpu() const {
        Model model;
        for (const auto tensors :
             {&Model::params, &Model::exp_avgs, &Model::exp_avg_sqs, &Model::copies, &Model::grads}) {
            for (const TestTensor &tensor : this->*tensors) (model.*tensors).push_back(testing::on_cpu(tensor));
        }
        model.step = testing::on_cpu(step);
        return model;
    }

    mezzo_status run(const mezzo_adam_desc *desc, mezzo_tensor grad_scale = {}, mezzo_tensor found_inf = {}) const {
        const auto handles = [](const std::vector<TestTensor> &tensors) {
            return std::vector<mezzo_tensor>(tensors.begin(), tensors.end());
        };
        return mezzo_adam_step(handles(params).data(), handles(exp_avgs).data(), handles(exp_avg_sqs).data(),
                               handles(copies).data(), step, handles(grads).data(), static_cast<int32_t>(params.size()),
                               grad_scale, found_inf, desc);
    }

    /// All bytes that a step may write.
    std::vector<uint8_t> bytes() const {
        std::vector<uint8_t> all = step.bytes();
        for (const auto *tensors : {&params, &exp_avgs, &exp_avg_sqs, &copies}) {
            for (const TestTensor &tensor : *tensors) {
                if (tensor.handle().id == 0) continue;
                const std::vector<uint8_t> part = tensor.bytes();
                all.insert(all.end(), part.begin(), part.end());
            }
        }
        return all;
    }

    std::vector<TestTensor> params, exp_avgs, exp_avg_sqs, copies, grads;
    TestTensor step = TestTensor::scalar(MEZZO_DTYPE_I64, 0);
};

/// Adam on one element, every operation rounded to T, in PyTorch's order.
template <class T>
struct Reference {
    T p;
    T m = 0;
    T v = 0;

    void step(double grad, double t, const mezzo_adam_desc &desc) {
        T g = static_cast<T>(grad);
        if (desc.weight_decay != 0) g += static_cast<T>(desc.weight_decay) * p;
        m = static_cast<T>(desc.beta1) * m + static_cast<T>(1 - desc.beta1) * g;
        v = static_cast<T>(desc.beta2) * v + static_cast<T>(1 - desc.beta2) * g * g;
        const T step_size = static_cast<T>(desc.lr / (1 - std::pow(desc.beta1, t)));
        const T denominator =
            std::sqrt(v) / static_cast<T>(std::sqrt(1 - std::pow(desc.beta2, t))) + static_cast<T>(desc.eps);
        p -= step_size * m / denominator;
    }
};

template <class T>
std::vector<double> reference(const std::vector<double> &params, const std::vector<double> &grads, int steps,
                              double scale, const mezzo_adam_desc &desc) {
    const auto factor = static_cast<T>(static_cast<float>(1 / scale));
    std::vector<double> results(params.size());
    for (size_t i = 0; i < params.size(); ++i) {
        Reference<T> element{static_cast<T>(params[i])};
        for (int t = 1; t <= steps; ++t) element.step(static_cast<T>(grads[i]) * factor, t, desc);
        results[i] = static_cast<double>(element.p);
    }
    return results;
}

TEST(Adam, Step_FollowsTheGoldenValues) {
    const std::vector<double> gradients = {0.1, -0.2, 0.05};
    const std::vector<double> golden = {0.990000000909, 0.993086960393, 0.993706295887};
    Model model;
    model.add(MEZZO_DTYPE_F64, 1, MEZZO_DTYPE_F64);
    model.params[0].write({1});
    for (size_t t = 0; t < golden.size(); ++t) {
        model.grads[0].write({gradients[t]});
        ASSERT_OK(model.run(&kWithDecay));
        EXPECT_NEAR(model.params[0].item(), golden[t], 1e-9); // the golden values' own precision
        EXPECT_EQ(model.step.item(), static_cast<double>(t + 1));
    }
}

TEST(Adam, Step_IsPyTorchsToTheBitForEveryCombinationOfDTypes) {
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 3);
    for (const mezzo_dtype dtype : {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64}) {
        for (const mezzo_dtype grad_dtype : {dtype, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16}) {
            for (const mezzo_dtype copy_dtype : {mezzo_dtype{}, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16}) {
                for (const int64_t elements : {1, 7, 64, 1023}) {
                    Model model;
                    model.add(dtype, elements, grad_dtype, copy_dtype);
                    const std::vector<double> before = model.params[0].values();
                    const std::vector<double> grads = model.grads[0].values();
                    const int steps = 3;
                    for (int t = 0; t < steps; ++t) ASSERT_OK(model.run(&kWithDecay, scale));
                    const std::vector<double> expected = dtype == MEZZO_DTYPE_F32
                                                             ? reference<float>(before, grads, steps, 3, kWithDecay)
                                                             : reference<double>(before, grads, steps, 3, kWithDecay);
                    EXPECT_TRUE(is_identical(model.params[0].values(), expected));
                    EXPECT_TRUE(is_identical(model.grads[0].values(), grads)) << "gradients are left as they are";
                    if (copy_dtype == mezzo_dtype{}) continue;
                    EXPECT_TRUE(is_identical(model.copies[0].values(), rounded(expected, copy_dtype)));
                }
            }
        }
    }
}

TEST(Adam, Step_StaysNearTheFormulaInF64) {
    Model model;
    model.add(MEZZO_DTYPE_F32, 1023, MEZZO_DTYPE_F32);
    const std::vector<double> before = model.params[0].values();
    const std::vector<double> grads = model.grads[0].values();
    constexpr int kSteps = 20;
    for (int t = 0; t < kSteps; ++t) ASSERT_OK(model.run(nullptr));
    // Each step rounds the parameter once and its change, far below the parameter's bound of 1.02, a few times.
    const std::vector<double> expected = reference<double>(before, grads, kSteps, 1, kDefaults);
    EXPECT_TRUE(is_near(model.params[0].values(), {expected, std::vector<double>(expected.size(), 1.02)},
                        {MEZZO_DTYPE_F32, MEZZO_DTYPE_F32, kSteps + 1}));
}

/// A model with every combination of dtypes, small and large parameters.
Model mixed_model() {
    Model model;
    for (const mezzo_dtype dtype : {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64}) {
        for (const mezzo_dtype grad_dtype : {dtype, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16}) {
            model.add(dtype, 1, grad_dtype, MEZZO_DTYPE_F16);
            model.add(dtype, 30011, grad_dtype);
            model.add(dtype, 150, grad_dtype, MEZZO_DTYPE_BF16);
            model.add(dtype, 20000, grad_dtype, MEZZO_DTYPE_BF16);
            model.add(dtype, 7, grad_dtype);
        }
    }
    return model;
}

TEST(Adam, Step_UpdatesListsOfMixedDTypesAndSizes) {
    const Model model = mixed_model();
    std::vector<std::vector<double>> expected;
    for (size_t k = 0; k < model.params.size(); ++k) {
        const std::vector<double> before = model.params[k].values();
        const std::vector<double> grads = model.grads[k].values();
        expected.push_back(model.params[k].info().dtype == MEZZO_DTYPE_F32
                               ? reference<float>(before, grads, 1, 1, kWithDecay)
                               : reference<double>(before, grads, 1, 1, kWithDecay));
    }
    ASSERT_OK(model.run(&kWithDecay));
    for (size_t k = 0; k < model.params.size(); ++k) {
        EXPECT_TRUE(is_identical(model.params[k].values(), expected[k])) << k;
        if (model.copies[k].handle().id == 0) continue;
        EXPECT_TRUE(is_identical(model.copies[k].values(), rounded(expected[k], model.copies[k].info().dtype))) << k;
    }
}

TEST(AdamOnCpu, Step_DoesNotDependOnTheNumberOfThreads) {
    expect_same_bytes_on_any_threads([] {
        const Model model = mixed_model();
        for (int t = 0; t < 2; ++t) EXPECT_OK(model.run(&kWithDecay));
        return model.bytes();
    });
}

TEST(Adam, Step_ChangesNothingWhenInfWasFound) {
    const Model model = mixed_model();
    ASSERT_OK(model.run(nullptr));
    const std::vector<uint8_t> before = model.bytes();
    for (const double found : {1.0, 2.0, static_cast<double>(NAN)}) {
        ASSERT_OK(model.run(nullptr, {}, TestTensor::scalar(MEZZO_DTYPE_F32, found)));
        EXPECT_EQ(model.bytes(), before);
    }
    ASSERT_OK(model.run(nullptr, {}, TestTensor::scalar(MEZZO_DTYPE_F32, 0)));
    EXPECT_NE(model.bytes(), before);
    EXPECT_EQ(model.step.item(), 2);
}

TEST(Adam, Step_UnscalesAsUnscaleDoes) {
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 65536);
    const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
    Model fused;
    fused.add(MEZZO_DTYPE_F32, 1023, MEZZO_DTYPE_F32);
    Model separate;
    separate.add(MEZZO_DTYPE_F32, 1023, MEZZO_DTYPE_F32);
    ASSERT_OK(fused.run(nullptr, scale, found_inf));
    const mezzo_tensor grad = separate.grads[0];
    ASSERT_OK(mezzo_unscale(found_inf, &grad, 1, scale, nullptr));
    ASSERT_OK(separate.run(nullptr));
    EXPECT_EQ(fused.bytes(), separate.bytes());
}

TEST(Adam, Step_LetsInfAndNaNIntoTheirElementsAlone) {
    Model model;
    model.add(MEZZO_DTYPE_F32, 64, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16);
    std::vector<double> grads(64, 1);
    grads[13] = NAN;
    grads[40] = INFINITY;
    model.grads[0].write(grads);
    ASSERT_OK(model.run(nullptr));
    const std::vector<double> params = model.params[0].values();
    for (size_t i = 0; i < params.size(); ++i) EXPECT_EQ(std::isnan(params[i]), i == 13 || i == 40) << i;
}

TEST(Adam, Step_WithoutWeightDecay_KeepsInfiniteParametersOutOfTheMoments) {
    for (const mezzo_dtype dtype : {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64}) {
        Model model;
        model.add(dtype, 3, dtype);
        model.params[0].write({INFINITY, -static_cast<double>(INFINITY), 1});
        const std::vector<double> grads = model.grads[0].values();
        ASSERT_OK(model.run(nullptr));
        const std::vector<double> params = model.params[0].values();
        EXPECT_EQ(params[0], INFINITY);
        EXPECT_EQ(params[1], -INFINITY);
        const std::vector<double> moments = model.exp_avgs[0].values();
        for (size_t i = 0; i < moments.size(); ++i) EXPECT_EQ(std::signbit(moments[i]), std::signbit(grads[i])) << i;
        for (const double moment : moments) EXPECT_TRUE(std::isfinite(moment));
    }
}

/// `count` parameters of odd sizes, below and above a tile of the CUDA kernel, of all dtypes, aligned in all ways.
Model model_of(int count) {
    constexpr mezzo_dtype kCopies[] = {mezzo_dtype{}, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16};
    constexpr int64_t kSizes[] = {1, 150, 7, 2049, 33, 1023, 2048, 3, 4099, 512, 5};
    Model model;
    for (int k = 0; k < count; ++k) {
        const mezzo_dtype dtype = k % 2 == 0 ? MEZZO_DTYPE_F32 : MEZZO_DTYPE_F64;
        const mezzo_dtype grad_dtypes[] = {dtype, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16};
        const int64_t elements = k < 33 ? kSizes[k % 11] : k % 97 + 1;
        model.add(dtype, elements, grad_dtypes[k / 2 % 3], kCopies[k / 6 % 3], static_cast<Misaligned>(k % 7 % 6));
    }
    return model;
}

TEST(Adam, OnEveryDevice_GivesTheSameBits) {
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 3);
    const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
    const TestTensor cpu_scale = on_cpu(scale);
    const TestTensor cpu_found_inf = on_cpu(found_inf);
    for (const int count : {0, 1, 2, 33, 500}) {
        for (const mezzo_adam_desc &desc : {kDefaults, kWithDecay}) {
            const Model model = model_of(count);
            model.step.write({count == 33 ? 12345.0 : 0.0});
            const Model expected = model.on_cpu();
            for (int t = 0; t < 2; ++t) {
                ASSERT_OK(model.run(&desc, scale, found_inf));
                ASSERT_OK(expected.run(&desc, cpu_scale, cpu_found_inf));
            }
            ASSERT_EQ(model.bytes(), expected.bytes()) << count << " parameters";
        }
    }
}

TEST(Adam, OnEveryDevice_GivesTheSameBitsForExtremeNumbers) {
    for (const mezzo_dtype dtype : {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64}) {
        std::vector<double> finite = special_values(dtype);
        std::erase_if(finite, [](double value) { return !std::isfinite(value); });
        Model model;
        model.add(dtype, static_cast<int64_t>(finite.size()), dtype, MEZZO_DTYPE_F16);
        model.grads[0].write(finite);
        model.params[0].write({finite.rbegin(), finite.rend()});
        const Model expected = model.on_cpu();
        for (int t = 0; t < 3; ++t) {
            ASSERT_OK(model.run(&kWithDecay));
            ASSERT_OK(expected.run(&kWithDecay));
        }
        EXPECT_EQ(model.bytes(), expected.bytes());
    }
}

TEST(Adam, InAGraph_StepsAsOftenAsItIsLaunched) {
    for (const int count : {0, 1, 33, 200}) {
        const Model captured = model_of(count);
        const Model eager = model_of(count);
        const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 1);
        const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 1);
        const std::vector<uint8_t> before = captured.bytes();
        ASSERT_OK(mezzo_graph_capture_begin(test_device()));
        ASSERT_OK(captured.run(&kWithDecay, scale, found_inf));
        mezzo_graph graph{};
        ASSERT_OK(mezzo_graph_capture_end(&graph, test_device()));
        ASSERT_OK(mezzo_graph_launch(graph));
        EXPECT_EQ(captured.bytes(), before) << "found_inf is read when the graph is launched";
        found_inf.write({0});
        for (const double next_scale : {1, 2, 3}) {
            scale.write({next_scale});
            ASSERT_OK(mezzo_graph_launch(graph));
            ASSERT_OK(eager.run(&kWithDecay, scale));
        }
        EXPECT_EQ(captured.bytes(), eager.bytes()) << count << " parameters";
        EXPECT_EQ(captured.step.item(), 3);
        ASSERT_OK(mezzo_graph_destroy(graph));
    }
}

#if defined(MEZZO_CUDA_SIM)

int64_t launches_of(const Model &model) {
    cuda_sim::mark();
    EXPECT_OK(model.run(nullptr));
    return cuda_sim::counters().kernels;
}

TEST(Adam, OnCuda_IsOneLaunchForParametersWithTheSameDTypes) {
    if (test_device().type != MEZZO_DEVICE_TYPE_CUDA) return;
    EXPECT_EQ(launches_of(Model()), 1) << "which counts the step";
    Model model;
    for (int k = 0; k < 64; ++k) model.add(MEZZO_DTYPE_F32, k + 1, MEZZO_DTYPE_BF16, MEZZO_DTYPE_BF16);
    EXPECT_EQ(launches_of(model), 1);
    for (int k = 0; k < 64; ++k) model.add(MEZZO_DTYPE_F32, k + 1, MEZZO_DTYPE_BF16, MEZZO_DTYPE_BF16);
    EXPECT_EQ(launches_of(model), 2) << "more than a kernel's parameters hold";
    for (int k = 0; k < 64; ++k) model.add(MEZZO_DTYPE_F32, k + 1, MEZZO_DTYPE_F32);
    EXPECT_EQ(launches_of(model), 3);
    Model weights_and_biases;
    for (int k = 0; k < 8; ++k) {
        weights_and_biases.add(MEZZO_DTYPE_F32, 64, MEZZO_DTYPE_F32, MEZZO_DTYPE_F16);
        weights_and_biases.add(MEZZO_DTYPE_F32, 8, MEZZO_DTYPE_F32);
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

TEST(Adam, Step_CountsWithoutParameters) {
    const TestTensor step = TestTensor::scalar(MEZZO_DTYPE_I64, 7);
    ASSERT_OK(mezzo_adam_step(nullptr, nullptr, nullptr, nullptr, step, nullptr, 0, {}, {}, nullptr));
    EXPECT_EQ(step.item(), 8);
}

TEST(Adam, Step_RejectsBadTensors) {
    const TestTensor p(MEZZO_DTYPE_F32, {8});
    const TestTensor m(MEZZO_DTYPE_F32, {8});
    const TestTensor v(MEZZO_DTYPE_F32, {8});
    const TestTensor g(MEZZO_DTYPE_F32, {8});
    const TestTensor copy(MEZZO_DTYPE_F16, {8});
    const TestTensor wide(MEZZO_DTYPE_F64, {8});
    const TestTensor half(MEZZO_DTYPE_F16, {8});
    const TestTensor shorter(MEZZO_DTYPE_F32, {7});
    const TestTensor step = TestTensor::scalar(MEZZO_DTYPE_I64, 0);
    const TestTensor scalar = TestTensor::scalar(MEZZO_DTYPE_F32, 1);
    const TestTensor wide_scalar = TestTensor::scalar(MEZZO_DTYPE_F64, 1);
    const auto run = [&](mezzo_tensor param, mezzo_tensor avg, mezzo_tensor avg_sq, mezzo_tensor half_copy,
                         mezzo_tensor counter, mezzo_tensor grad, mezzo_tensor scale = {}, mezzo_tensor found = {}) {
        return mezzo_adam_step(&param, &avg, &avg_sq, &half_copy, counter, &grad, 1, scale, found, nullptr);
    };
    EXPECT_FAILS(run({}, m, v, copy, step, g), INVALID_HANDLE, "adam_step: params[0] is the null tensor");
    EXPECT_FAILS(run(p, {}, v, copy, step, g), INVALID_HANDLE, "adam_step: exp_avgs[0] is the null tensor");
    EXPECT_FAILS(run(p, m, {}, copy, step, g), INVALID_HANDLE, "adam_step: exp_avg_sqs[0] is the null tensor");
    EXPECT_FAILS(run(p, m, v, copy, {}, g), INVALID_HANDLE, "adam_step: step is the null tensor");
    EXPECT_FAILS(run(p, m, v, copy, step, {}), INVALID_HANDLE, "adam_step: grads[0] is the null tensor");
    EXPECT_FAILS(run(half, m, v, copy, step, g), DTYPE_MISMATCH,
                 "adam_step: params[0] is f16[8], expected dtype f32 or f64");
    EXPECT_FAILS(run(p, wide, v, copy, step, g), DTYPE_MISMATCH,
                 "adam_step: exp_avgs[0] is f64[8], expected dtype f32");
    EXPECT_FAILS(run(p, m, shorter, copy, step, g), SHAPE_MISMATCH,
                 "adam_step: exp_avg_sqs[0] is f32[7], expected f32[8]");
    EXPECT_FAILS(run(p, m, v, wide, step, g), DTYPE_MISMATCH,
                 "adam_step: param_copies[0] is f64[8], expected dtype f16 or bf16");
    EXPECT_FAILS(run(p, m, v, shorter, step, g), SHAPE_MISMATCH,
                 "adam_step: param_copies[0] is f32[7], expected f32[8]");
    EXPECT_FAILS(run(p, m, v, copy, scalar, g), DTYPE_MISMATCH, "adam_step: step is f32[], expected dtype i64");
    EXPECT_FAILS(run(p, m, v, copy, p, g), SHAPE_MISMATCH, "adam_step: step is f32[8], expected f32[]");
    EXPECT_FAILS(run(p, m, v, copy, step, wide), DTYPE_MISMATCH,
                 "adam_step: grads[0] is f64[8], expected dtype f32, f16 or bf16");
    EXPECT_FAILS(run(p, m, v, copy, step, shorter), SHAPE_MISMATCH, "adam_step: grads[0] is f32[7], expected f32[8]");
    EXPECT_FAILS(run(p, m, v, copy, step, g, wide_scalar), DTYPE_MISMATCH,
                 "adam_step: grad_scale is f64[], expected dtype f32");
    EXPECT_FAILS(run(p, m, v, copy, step, g, {}, wide_scalar), DTYPE_MISMATCH,
                 "adam_step: found_inf is f64[], expected dtype f32");
    EXPECT_FAILS(run(p, p, v, copy, step, g), INVALID_ARGUMENT,
                 "adam_step: exp_avgs[0] shares memory with params[0], expected separate tensors");
    EXPECT_FAILS(run(p, m, v, half, step, half), INVALID_ARGUMENT,
                 "adam_step: param_copies[0] shares memory with grads[0], expected separate tensors");
}

TEST(Adam, Step_RejectsBadCountsArraysAndDescriptors) {
    Model model;
    model.add(MEZZO_DTYPE_F32, 8, MEZZO_DTYPE_F32);
    const mezzo_tensor p = model.params[0];
    const mezzo_tensor m = model.exp_avgs[0];
    const mezzo_tensor v = model.exp_avg_sqs[0];
    const mezzo_tensor g = model.grads[0];
    const auto run = [&](const mezzo_tensor *params, const mezzo_tensor *avgs, const mezzo_tensor *avg_sqs,
                         const mezzo_tensor *grads, int32_t count) {
        return mezzo_adam_step(params, avgs, avg_sqs, nullptr, model.step, grads, count, {}, {}, nullptr);
    };
    EXPECT_FAILS(run(nullptr, &m, &v, &g, 1), INVALID_ARGUMENT, "adam_step: params is a null pointer");
    EXPECT_FAILS(run(&p, nullptr, &v, &g, 1), INVALID_ARGUMENT, "adam_step: exp_avgs is a null pointer");
    EXPECT_FAILS(run(&p, &m, nullptr, &g, 1), INVALID_ARGUMENT, "adam_step: exp_avg_sqs is a null pointer");
    EXPECT_FAILS(run(&p, &m, &v, nullptr, 1), INVALID_ARGUMENT, "adam_step: grads is a null pointer");
    EXPECT_FAILS(run(&p, &m, &v, &g, -1), INVALID_ARGUMENT, "adam_step: count is -1, expected at least 0");
    const std::vector<uint8_t> before = model.bytes();
    const auto fails = [&](mezzo_adam_desc desc, const char *text) {
        EXPECT_FAILS(model.run(&desc), INVALID_ARGUMENT, text);
    };
    mezzo_adam_desc desc = kDefaults;
    desc.struct_size = 8;
    fails(desc, "adam_step: desc.struct_size is 8, expected 48");
    desc = kDefaults;
    desc.reserved = 1;
    fails(desc, "adam_step: desc.reserved is 1, expected 0");
    desc = kDefaults;
    desc.lr = -1;
    fails(desc, "adam_step: desc.lr is -1, expected a finite number of at least 0");
    desc = kDefaults;
    desc.beta1 = 1;
    fails(desc, "adam_step: desc.beta1 is 1, expected at least 0 and below 1");
    desc = kDefaults;
    desc.beta2 = NAN;
    fails(desc, "adam_step: desc.beta2 is nan, expected at least 0 and below 1");
    desc = kDefaults;
    desc.eps = -1e-8;
    fails(desc, "adam_step: desc.eps is -1e-08, expected a finite number of at least 0");
    desc = kDefaults;
    desc.weight_decay = INFINITY;
    fails(desc, "adam_step: desc.weight_decay is inf, expected a finite number of at least 0");
    EXPECT_EQ(model.bytes(), before) << "a failed call changes nothing";
}

} // namespace
} // namespace mezzo::testing
