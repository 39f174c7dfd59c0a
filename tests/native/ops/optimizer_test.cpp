// SPDX-License-Identifier: MIT
// What all optimizers' steps have in common: their inputs, and the checks of their tensors.
#include <mezzo/ops.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "support/graph.h"
#include "support/optimizer.h"
#include "support/status.h"

namespace mezzo::testing {
namespace {

using Model = OptimizerModel;

/// An optimizer that can run on any model.
struct Case {
    const char *name;
    std::function<mezzo_status(const Model &, const mezzo_step_inputs &)> run;
    bool clips_as_torch = true; // to max_grad_norm / (grad_norm + 1e-6)
};

const std::vector<Case> &cases() {
    static const mezzo_adam_desc adam = {
        sizeof(mezzo_adam_desc),       0, 0.01, 0.9, 0.999, 1e-8, 0.01, MEZZO_WEIGHT_DECAY_PARAMETER,
        MEZZO_BIAS_CORRECTION_MOMENTS, 0, 0};
    static const mezzo_sgd_desc sgd = {sizeof(mezzo_sgd_desc), 0, 0.01, 0, 0, 0.01, 0, 0};
    static const mezzo_sgd_desc momentum = {sizeof(mezzo_sgd_desc), 1, 0.01, 0.9, 0, 0.01, 0, 0};
    static const std::vector<Case> all = {
        {"adam", [](const Model &model, const auto &inputs) { return adam_step(model, inputs, &adam); }},
        {"sgd", [](const Model &model, const auto &inputs) { return sgd_step(model, inputs, &sgd); }},
        {"sgd with momentum",
         [](const Model &model, const auto &inputs) { return sgd_step(model, inputs, &momentum); }},
        {"lamb", [](const Model &model, const auto &inputs) { return lamb_step(model, inputs); }, false},
    };
    return all;
}

TEST(Optimizer, Step_ChangesNothingWhenInfWasFound) {
    for (const Case &optimizer : cases()) {
        const Model model = Model::mixed();
        ASSERT_OK(optimizer.run(model, model.inputs()));
        const std::vector<uint8_t> before = model.bytes();
        for (const double found : {1.0, 2.0, static_cast<double>(NAN)}) {
            const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, found);
            ASSERT_OK(optimizer.run(model, model.inputs({}, found_inf)));
            EXPECT_EQ(model.bytes(), before) << optimizer.name;
        }
        const TestTensor clean = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
        ASSERT_OK(optimizer.run(model, model.inputs({}, clean)));
        EXPECT_NE(model.bytes(), before);
        EXPECT_EQ(model.step.item(), 2);
    }
}

TEST(Optimizer, Step_UnscalesAsUnscaleDoes) {
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 65536);
    const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
    for (const Case &optimizer : cases()) {
        Model fused;
        fused.add(MEZZO_DTYPE_F32, 1023, MEZZO_DTYPE_F32);
        Model separate;
        separate.add(MEZZO_DTYPE_F32, 1023, MEZZO_DTYPE_F32);
        ASSERT_OK(optimizer.run(fused, fused.inputs(scale, found_inf)));
        const mezzo_tensor grad = separate.grads[0];
        ASSERT_OK(mezzo_unscale(found_inf, &grad, 1, scale, nullptr));
        ASSERT_OK(optimizer.run(separate, separate.inputs()));
        EXPECT_EQ(fused.bytes(), separate.bytes()) << optimizer.name;
    }
}

/// The bytes of a model after a step with gradients that were changed by a function beforehand.
std::vector<uint8_t> bytes_with_grads(const Case &optimizer, const Model &model,
                                      const std::function<float(float, size_t)> &change) {
    for (size_t k = 0; k < model.grads.size(); ++k) {
        std::vector<double> grads = model.grads[k].values();
        for (double &grad : grads) grad = static_cast<double>(change(static_cast<float>(grad), k));
        model.grads[k].write(grads);
    }
    EXPECT_OK(optimizer.run(model, model.inputs()));
    return model.bytes();
}

Model f32_model() {
    Model model;
    for (const int64_t elements : {1023, 5, 4099}) model.add(MEZZO_DTYPE_F32, elements, MEZZO_DTYPE_F32);
    return model;
}

TEST(Optimizer, Step_ClipsByTheNormOfAllOrOfEach) {
    // The torch formula, min(1, max_norm / (norm + 1e-6)), with norms below, at and above the limit.
    const std::vector<double> norms = {0.5, 2, 40};
    const auto coefficient = [](double norm) { return std::min(1.0F, 2.0F / (static_cast<float>(norm) + 1e-6F)); };
    for (const Case &optimizer : cases()) {
        if (!optimizer.clips_as_torch) continue;
        for (const double norm : norms) {
            const Model model = f32_model();
            const TestTensor total = TestTensor::scalar(MEZZO_DTYPE_F64, norm);
            mezzo_step_inputs inputs = model.inputs();
            inputs.grad_norm = total;
            inputs.max_grad_norm = 2;
            ASSERT_OK(optimizer.run(model, inputs));
            EXPECT_EQ(model.bytes(), bytes_with_grads(optimizer, f32_model(),
                                                      [&](float grad, size_t) { return grad * coefficient(norm); }))
                << optimizer.name;
        }
        const Model model = f32_model();
        const TestTensor each(MEZZO_DTYPE_F64, {3}, norms);
        mezzo_step_inputs inputs = model.inputs();
        inputs.grad_norm = each;
        inputs.max_grad_norm = 2;
        ASSERT_OK(optimizer.run(model, inputs));
        EXPECT_EQ(model.bytes(), bytes_with_grads(optimizer, f32_model(),
                                                  [&](float grad, size_t k) { return grad * coefficient(norms[k]); }))
            << optimizer.name;
    }
}

TEST(Optimizer, Step_ClipsByValueAfterUnscaling) {
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 4);
    for (const Case &optimizer : cases()) {
        const Model model = f32_model();
        mezzo_step_inputs inputs = model.inputs(scale);
        inputs.max_grad_value = 0.125;
        ASSERT_OK(optimizer.run(model, inputs));
        EXPECT_EQ(model.bytes(),
                  bytes_with_grads(optimizer, f32_model(),
                                   [](float grad, size_t) { return std::clamp(grad / 4, -0.125F, 0.125F); }))
            << optimizer.name;
    }
}

TEST(Optimizer, Step_TakesItsLearningRateFromTheDevice) {
    constexpr double kFactors[] = {1, 0.5, 0.25};
    for (const Case &optimizer : cases()) {
        for (const bool counts_calls : {false, true}) {
            // Every second call is skipped: steps applied move on with the others, calls with all.
            const TestTensor lr(MEZZO_DTYPE_F64, {3}, {kFactors[0], kFactors[1], kFactors[2]});
            const TestTensor calls = TestTensor::scalar(MEZZO_DTYPE_I64, 0);
            const Model model = f32_model();
            const Model plain = f32_model();
            for (int call = 0; call < 8; ++call) {
                const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, call % 2);
                mezzo_step_inputs inputs = model.inputs({}, found_inf);
                inputs.lr = lr;
                if (counts_calls) inputs.lr_step = calls;
                ASSERT_OK(optimizer.run(model, inputs));
                if (call % 2 == 1) continue;
                const int k = counts_calls ? call : call / 2;
                const TestTensor factor(MEZZO_DTYPE_F64, {1}, {kFactors[k % 3]});
                mezzo_step_inputs fixed = plain.inputs();
                fixed.lr = factor;
                ASSERT_OK(optimizer.run(plain, fixed));
            }
            EXPECT_EQ(model.bytes(), plain.bytes()) << optimizer.name;
            EXPECT_EQ(calls.item(), counts_calls ? 8 : 0);
            EXPECT_EQ(model.step.item(), 4);
        }
    }
}

/// Every input that a step can have.
struct AllInputs {
    TestTensor scale, found_inf, lr, lr_step, norms;

    static AllInputs of(int count) {
        return {TestTensor::scalar(MEZZO_DTYPE_F32, 3), TestTensor::scalar(MEZZO_DTYPE_F32, 0),
                TestTensor(MEZZO_DTYPE_F64, {2}, {0.3, 0.7}), TestTensor::scalar(MEZZO_DTYPE_I64, 5),
                TestTensor(MEZZO_DTYPE_F64, {count}, random_values(count, 3))};
    }

    AllInputs on_cpu() const {
        return {testing::on_cpu(scale), testing::on_cpu(found_inf), testing::on_cpu(lr), testing::on_cpu(lr_step),
                testing::on_cpu(norms)};
    }

    mezzo_step_inputs with(const Model &model) const {
        mezzo_step_inputs inputs = model.inputs(scale, found_inf);
        inputs.lr = lr;
        inputs.lr_step = lr_step;
        inputs.grad_norm = norms;
        inputs.max_grad_norm = 0.5;
        inputs.max_grad_value = 0.25;
        return inputs;
    }
};

TEST(Optimizer, OnEveryDevice_GivesTheSameBitsWithAllInputs) {
    for (const Case &optimizer : cases()) {
        for (const int count : {1, 44, 200}) {
            const Model model = Model::of(count);
            const Model cpu = model.on_cpu();
            const AllInputs inputs = AllInputs::of(count);
            const AllInputs cpu_inputs = inputs.on_cpu();
            for (int t = 0; t < 3; ++t) {
                ASSERT_OK(optimizer.run(model, inputs.with(model)));
                ASSERT_OK(optimizer.run(cpu, cpu_inputs.with(cpu)));
            }
            EXPECT_EQ(model.bytes(), cpu.bytes()) << optimizer.name << ", " << count << " parameters";
            EXPECT_EQ(inputs.lr_step.item(), 8);
            EXPECT_EQ(cpu_inputs.lr_step.item(), 8);
        }
    }
}

/// The bits of f32 numbers whose halves are these, the upper one raised where the lower one's highest bit is set.
std::vector<uint8_t> joined(const TestTensor &high, const TestTensor &low) {
    const std::vector<uint8_t> upper = high.bytes();
    const std::vector<uint8_t> lower = low.bytes();
    std::vector<uint8_t> all;
    for (size_t i = 0; i < upper.size(); i += 2) {
        const uint32_t rounded = static_cast<uint32_t>(upper[i + 1]) << 8 | upper[i];
        const uint32_t truncated = rounded - (lower[i + 1] >> 7);
        for (const uint32_t byte :
             {static_cast<uint32_t>(lower[i]), static_cast<uint32_t>(lower[i + 1]), truncated & 0xFF, truncated >> 8}) {
            all.push_back(static_cast<uint8_t>(byte));
        }
    }
    return all;
}

TEST(Optimizer, Step_OfBf16WithRemainders_IsThatOfF32) {
    for (const Case &optimizer : cases()) {
        for (const auto misaligned :
             {Misaligned::kNone, Misaligned::kParam, Misaligned::kFirstState, Misaligned::kCopy, Misaligned::kGrad}) {
            Model full;
            Model split;
            for (const int64_t elements : {1, 7, 150, 2048, 4099}) {
                for (const mezzo_dtype grad : {MEZZO_DTYPE_BF16, MEZZO_DTYPE_F32}) {
                    full.add(MEZZO_DTYPE_F32, elements, grad, MEZZO_DTYPE_BF16, misaligned);
                    split.add(MEZZO_DTYPE_BF16, elements, grad, kNoCopy, misaligned);
                    // The f32 numbers begin as bf16, and so with a remainder of 0.
                    full.params.back().write(split.params.back().values());
                    full.grads.back().write(split.grads.back().values());
                    const std::vector<double> zeros(static_cast<size_t>(2 * elements + 2), 0);
                    const TestTensor remainders(MEZZO_DTYPE_U8, {2 * elements + 2}, zeros);
                    split.copies.back() = remainders.view(misaligned == Misaligned::kCopy ? 2 : 0, {2 * elements});
                }
            }
            // Numbers that f32 does not hold in 16 bits, and what training may bring.
            full.grads[6].write([&] {
                std::vector<double> values = split.grads[6].values();
                values[3] = INFINITY;
                values[5] = NAN;
                split.grads[6].write(values);
                return values;
            }());
            for (int t = 0; t < 4; ++t) {
                ASSERT_OK(optimizer.run(full, full.inputs()));
                ASSERT_OK(optimizer.run(split, split.inputs()));
            }
            for (size_t k = 0; k < full.params.size(); ++k) {
                SCOPED_TRACE(std::string(optimizer.name) + ", parameter " + std::to_string(k));
                const std::vector<double> rounded = split.params[k].values();
                const std::vector<double> exact = full.params[k].values();
                bool is_finite = true;
                for (size_t i = 0; i < exact.size(); ++i) {
                    is_finite = is_finite && std::isfinite(exact[i]);
                    EXPECT_EQ(std::isnan(rounded[i]), std::isnan(exact[i]));
                    if (!std::isfinite(exact[i])) continue;
                    EXPECT_NEAR(rounded[i], exact[i], std::abs(exact[i]) * 0x1p-8);
                }
                if (is_finite) {
                    EXPECT_EQ(joined(split.params[k], split.copies[k]), full.params[k].bytes());
                }
                EXPECT_TRUE(is_identical(split.first_states[k].values(), full.first_states[k].values()));
            }
        }
    }
}

TEST(Optimizer, InAGraph_StepsAsOftenAsItIsLaunched) {
    for (const Case &optimizer : cases()) {
        for (const int count : {0, 1, 33, 200}) {
            const Model captured = Model::of(count);
            const Model eager = Model::of(count);
            const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 1);
            const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 1);
            const TestTensor lr(MEZZO_DTYPE_F64, {1}, {1});
            const std::vector<uint8_t> before = captured.bytes();
            mezzo_step_inputs inputs = captured.inputs(scale, found_inf);
            inputs.lr = lr;
            const TestGraph graph([&] { EXPECT_OK(optimizer.run(captured, inputs)); });
            graph.launch();
            EXPECT_EQ(captured.bytes(), before) << "found_inf is read when the graph is launched";
            found_inf.write({0});
            mezzo_step_inputs eager_inputs = eager.inputs(scale);
            eager_inputs.lr = lr;
            for (const double next : {1, 2, 3}) {
                scale.write({next});
                lr.write({1 / next});
                graph.launch();
                ASSERT_OK(optimizer.run(eager, eager_inputs));
            }
            EXPECT_EQ(captured.bytes(), eager.bytes()) << optimizer.name << ", " << count << " parameters";
            EXPECT_EQ(captured.step.item(), 3);
        }
    }
}

TEST(Optimizer, Step_CountsWithoutParameters) {
    for (const Case &optimizer : cases()) {
        const Model model;
        model.step.write({7});
        ASSERT_OK(optimizer.run(model, model.inputs()));
        EXPECT_EQ(model.step.item(), 8) << optimizer.name;
    }
}

/// One parameter of 8 f32 elements with everything that Adam takes.
struct OneParameter {
    TestTensor p{MEZZO_DTYPE_F32, {8}}, m{MEZZO_DTYPE_F32, {8}}, v{MEZZO_DTYPE_F32, {8}}, g{MEZZO_DTYPE_F32, {8}};
    TestTensor copy{MEZZO_DTYPE_F16, {8}}, wide{MEZZO_DTYPE_F64, {8}}, half{MEZZO_DTYPE_F16, {8}};
    TestTensor brain{MEZZO_DTYPE_BF16, {8}}, shorter{MEZZO_DTYPE_F32, {7}};
    TestTensor step = TestTensor::scalar(MEZZO_DTYPE_I64, 0);
    TestTensor scalar = TestTensor::scalar(MEZZO_DTYPE_F32, 1);
    TestTensor wide_scalar = TestTensor::scalar(MEZZO_DTYPE_F64, 1);

    mezzo_step_inputs inputs() const {
        mezzo_step_inputs inputs{};
        inputs.struct_size = sizeof inputs;
        inputs.step = step;
        return inputs;
    }

    mezzo_status run(mezzo_tensor param, mezzo_tensor avg, mezzo_tensor avg_sq, mezzo_tensor half_copy,
                     mezzo_tensor grad) const {
        const mezzo_step_inputs given = inputs();
        return mezzo_adam_step(&param, &avg, &avg_sq, &half_copy, &grad, 1, &given, nullptr);
    }

    mezzo_status run(const mezzo_step_inputs &given) const {
        const mezzo_tensor param = p, avg = m, avg_sq = v, half_copy = copy, grad = g;
        return mezzo_adam_step(&param, &avg, &avg_sq, &half_copy, &grad, 1, &given, nullptr);
    }
};

TEST(Optimizer, Step_RejectsBadTensors) {
    const OneParameter one;
    const auto &[p, m, v, g, copy, wide, half, brain, shorter, step, scalar, wide_scalar] = one;
    EXPECT_FAILS(one.run({}, m, v, copy, g), INVALID_HANDLE, "adam_step: params[0] is the null tensor");
    EXPECT_FAILS(one.run(p, {}, v, copy, g), INVALID_HANDLE, "adam_step: exp_avgs[0] is the null tensor");
    EXPECT_FAILS(one.run(p, m, {}, copy, g), INVALID_HANDLE, "adam_step: exp_avg_sqs[0] is the null tensor");
    EXPECT_FAILS(one.run(p, m, v, copy, {}), INVALID_HANDLE, "adam_step: grads[0] is the null tensor");
    EXPECT_FAILS(one.run(step, m, v, copy, g), DTYPE_MISMATCH,
                 "adam_step: params[0] is i64[], expected dtype f64, f32, f16 or bf16");
    EXPECT_FAILS(one.run(p, wide, v, copy, g), DTYPE_MISMATCH, "adam_step: exp_avgs[0] is f64[8], expected dtype f32");
    EXPECT_FAILS(one.run(half, half, v, {}, g), DTYPE_MISMATCH, "adam_step: exp_avgs[0] is f16[8], expected dtype f32");
    EXPECT_FAILS(one.run(half, m, v, copy, g), INVALID_ARGUMENT,
                 "adam_step: param_copies[0] is f16[8], expected none for params[0], which is f16[8]: f32 and f64 "
                 "parameters have copies, bf16 ones u8 remainders");
    const TestTensor few(MEZZO_DTYPE_U8, {8});
    const TestTensor brain_grad(MEZZO_DTYPE_BF16, {8});
    EXPECT_FAILS(
        one.run(brain, m, v, few, brain_grad), SHAPE_MISMATCH,
        "adam_step: param_copies[0] is u8[8], expected 16 elements, 2 for each of params[0], which is bf16[8]");
    const TestTensor odd = TestTensor::misaligned(MEZZO_DTYPE_U8, {16}, std::vector<double>(16, 0));
    EXPECT_FAILS(one.run(brain, m, v, odd, brain_grad), INVALID_ARGUMENT,
                 "adam_step: param_copies[0] begins at an odd byte, expected elements of 16 bits");
    EXPECT_FAILS(one.run(half, m, v, few, half), INVALID_ARGUMENT,
                 "adam_step: param_copies[0] is u8[8], expected none for params[0], which is f16[8]: f32 and f64 "
                 "parameters have copies, bf16 ones u8 remainders");
    EXPECT_FAILS(one.run(half, m, v, {}, brain), DTYPE_MISMATCH,
                 "adam_step: grads[0] is bf16[8], expected dtype f16 or f32");
    EXPECT_FAILS(one.run(p, m, shorter, copy, g), SHAPE_MISMATCH,
                 "adam_step: exp_avg_sqs[0] is f32[7], expected f32[8]");
    EXPECT_FAILS(one.run(p, m, v, wide, g), DTYPE_MISMATCH,
                 "adam_step: param_copies[0] is f64[8], expected dtype f16 or bf16");
    EXPECT_FAILS(one.run(p, m, v, shorter, g), SHAPE_MISMATCH, "adam_step: param_copies[0] is f32[7], expected f32[8]");
    EXPECT_FAILS(one.run(p, m, v, copy, wide), DTYPE_MISMATCH,
                 "adam_step: grads[0] is f64[8], expected dtype f32, f16 or bf16");
    EXPECT_FAILS(one.run(p, m, v, copy, shorter), SHAPE_MISMATCH, "adam_step: grads[0] is f32[7], expected f32[8]");
    EXPECT_FAILS(one.run(p, p, v, copy, g), INVALID_ARGUMENT,
                 "adam_step: exp_avgs[0] shares memory with params[0], expected separate tensors");
    EXPECT_FAILS(one.run(p, m, v, half, half), INVALID_ARGUMENT,
                 "adam_step: param_copies[0] shares memory with grads[0], expected separate tensors");
}

TEST(Optimizer, Step_RejectsBadInputs) {
    const OneParameter one;
    const TestTensor two(MEZZO_DTYPE_F64, {2});
    const auto fails = [&](mezzo_status status, const char *text, auto change) {
        mezzo_step_inputs inputs = one.inputs();
        change(inputs);
        EXPECT_EQ(one.run(inputs), status) << text;
        EXPECT_EQ(std::string(mezzo_last_error()), std::string("adam_step: ") + text);
    };
    using Inputs = mezzo_step_inputs;
    fails(MEZZO_STATUS_INVALID_ARGUMENT, "inputs.struct_size is 4, expected 72",
          [](Inputs &in) { in.struct_size = 4; });
    fails(MEZZO_STATUS_INVALID_ARGUMENT, "inputs.reserved is 1, expected 0", [](Inputs &in) { in.reserved = 1; });
    fails(MEZZO_STATUS_INVALID_HANDLE, "inputs.step is the null tensor", [](Inputs &in) { in.step = {}; });
    fails(MEZZO_STATUS_DTYPE_MISMATCH, "inputs.step is f32[], expected dtype i64",
          [&](Inputs &in) { in.step = one.scalar; });
    fails(MEZZO_STATUS_SHAPE_MISMATCH, "inputs.step is f32[8], expected f32[]", [&](Inputs &in) { in.step = one.p; });
    fails(MEZZO_STATUS_DTYPE_MISMATCH, "inputs.lr is f32[8], expected dtype f64", [&](Inputs &in) { in.lr = one.p; });
    fails(MEZZO_STATUS_SHAPE_MISMATCH, "inputs.lr is f64[], expected f64[n] with n of at least 1",
          [&](Inputs &in) { in.lr = one.wide_scalar; });
    fails(MEZZO_STATUS_DTYPE_MISMATCH, "inputs.lr_step is f64[], expected dtype i64",
          [&](Inputs &in) { in.lr_step = one.wide_scalar; });
    fails(MEZZO_STATUS_DTYPE_MISMATCH, "inputs.grad_scale is f64[], expected dtype f32",
          [&](Inputs &in) { in.grad_scale = one.wide_scalar; });
    fails(MEZZO_STATUS_DTYPE_MISMATCH, "inputs.found_inf is f64[], expected dtype f32",
          [&](Inputs &in) { in.found_inf = one.wide_scalar; });
    fails(MEZZO_STATUS_INVALID_ARGUMENT, "inputs.lr_step shares memory with inputs.step, expected separate tensors",
          [&](Inputs &in) { in.lr_step = one.step; });
    fails(MEZZO_STATUS_INVALID_ARGUMENT, "inputs.max_grad_norm is -1, expected 0 or a finite number above 0 in f32",
          [](Inputs &in) { in.max_grad_norm = -1; });
    fails(MEZZO_STATUS_INVALID_ARGUMENT, "inputs.max_grad_value is nan, expected 0 or a finite number above 0 in f32",
          [](Inputs &in) { in.max_grad_value = NAN; });
    fails(MEZZO_STATUS_INVALID_ARGUMENT,
          "inputs.max_grad_norm is 1 and inputs.grad_norm missing, expected both or neither",
          [](Inputs &in) { in.max_grad_norm = 1; });
    fails(MEZZO_STATUS_INVALID_ARGUMENT,
          "inputs.max_grad_norm is 0 and inputs.grad_norm given, expected both or neither",
          [&](Inputs &in) { in.grad_norm = one.wide_scalar; });
    fails(MEZZO_STATUS_SHAPE_MISMATCH, "inputs.grad_norm is f64[2], expected f64[1]", [&](Inputs &in) {
        in.grad_norm = two;
        in.max_grad_norm = 1;
    });
}

TEST(Optimizer, Step_RejectsBadCountsAndArrays) {
    const OneParameter one;
    const mezzo_tensor p = one.p, m = one.m, v = one.v, g = one.g;
    const mezzo_step_inputs inputs = one.inputs();
    const auto run = [&](const mezzo_tensor *params, const mezzo_tensor *avgs, const mezzo_tensor *avg_sqs,
                         const mezzo_tensor *grads, int32_t count, const mezzo_step_inputs *given) {
        return mezzo_adam_step(params, avgs, avg_sqs, nullptr, grads, count, given, nullptr);
    };
    EXPECT_FAILS(run(nullptr, &m, &v, &g, 1, &inputs), INVALID_ARGUMENT, "adam_step: params is a null pointer");
    EXPECT_FAILS(run(&p, nullptr, &v, &g, 1, &inputs), INVALID_ARGUMENT, "adam_step: exp_avgs is a null pointer");
    EXPECT_FAILS(run(&p, &m, nullptr, &g, 1, &inputs), INVALID_ARGUMENT, "adam_step: exp_avg_sqs is a null pointer");
    EXPECT_FAILS(run(&p, &m, &v, nullptr, 1, &inputs), INVALID_ARGUMENT, "adam_step: grads is a null pointer");
    EXPECT_FAILS(run(&p, &m, &v, &g, 1, nullptr), INVALID_ARGUMENT, "adam_step: inputs is a null pointer");
    EXPECT_FAILS(run(&p, &m, &v, &g, -1, &inputs), INVALID_ARGUMENT, "adam_step: count is -1, expected at least 0");
}

} // namespace
} // namespace mezzo::testing
