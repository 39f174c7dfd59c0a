// SPDX-License-Identifier: MIT
// What a whole training step costs the host once it is captured: one launch, no wait, no memory.
#if defined(MEZZO_CUDA_SIM)

#include <mezzo/ops.h>

#include "support/graph.h"
#include "support/linear.h"
#include "support/machine.h"
#include "support/status.h"

#include <array>
#include <limits>

namespace mezzo::testing {
namespace {

/// Two layers in f16 with parameters in f32, Adam and a loss scale, as the managed library trains them.
class Training {
  public:
    Training() {
        for (const Shape &shape : {Shape{kHidden, kIn}, Shape{kHidden}, Shape{kOut, kHidden}, Shape{kOut}}) {
            const auto seed = static_cast<uint64_t>(params_.size());
            const std::vector<double> values = random_values(elements_of(shape), 40 + seed);
            const std::vector<double> zeros(values.size());
            params_.emplace_back(MEZZO_DTYPE_F32, shape, values);
            exp_avgs_.emplace_back(MEZZO_DTYPE_F32, shape, zeros);
            exp_avg_sqs_.emplace_back(MEZZO_DTYPE_F32, shape, zeros);
            const bool is_weight = shape.size() == 2;
            copies_.push_back(is_weight ? TestTensor(MEZZO_DTYPE_F16, shape, values) : TestTensor());
        }
    }

    /// The data of the next step. What is `unfit` has a gradient that is not finite.
    void feed(uint64_t seed, bool unfit) const {
        input_.write(random_values(kRows * kIn, seed));
        std::vector<double> targets = random_values(kRows * kOut, seed + 1);
        if (unfit) targets.back() = std::numeric_limits<double>::infinity();
        target_.write(targets);
    }

    void step() const {
        const TestTensor hidden(MEZZO_DTYPE_F16, {kRows, kHidden}), prediction(MEZZO_DTYPE_F32, {kRows, kOut});
        const TestTensor grad_prediction(MEZZO_DTYPE_F16, {kRows, kOut}), grad_hidden(MEZZO_DTYPE_F16, hidden_shape());
        std::vector<TestTensor> grads;
        for (const TestTensor &param : params_) {
            const mezzo_tensor_info info = param.info();
            grads.emplace_back(MEZZO_DTYPE_F32, Shape(info.shape, info.shape + info.rank));
        }
        const mezzo_linear_desc relu = linear_desc(MEZZO_ACTIVATION_RELU), plain = linear_desc(MEZZO_ACTIVATION_NONE);
        mezzo_linear_desc after_relu = plain;
        after_relu.input_activation = MEZZO_ACTIVATION_RELU;

        EXPECT_OK(mezzo_fill(found_inf_, 0));
        EXPECT_OK(mezzo_linear_forward(hidden, input_, copies_[0], params_[1], &relu));
        EXPECT_OK(mezzo_linear_forward(prediction, hidden, copies_[2], params_[3], &plain));
        EXPECT_OK(mezzo_mse_loss_forward(loss_, grad_prediction, prediction, target_, scale_, nullptr));
        EXPECT_OK(mezzo_linear_backward(grad_hidden, grads[2], grads[3], grads[1], found_inf_, grad_prediction, hidden,
                                        copies_[2], {}, &after_relu));
        EXPECT_OK(mezzo_linear_backward({}, grads[0], {}, {}, found_inf_, grad_hidden, input_, {}, {}, &plain));
        const auto handles = [](const std::vector<TestTensor> &tensors) {
            return std::vector<mezzo_tensor>(tensors.begin(), tensors.end());
        };
        mezzo_step_inputs inputs{};
        inputs.struct_size = sizeof inputs;
        inputs.step = steps_;
        inputs.grad_scale = scale_;
        inputs.found_inf = found_inf_;
        EXPECT_OK(mezzo_adam_step(handles(params_).data(), handles(exp_avgs_).data(), handles(exp_avg_sqs_).data(),
                                  handles(copies_).data(), handles(grads).data(), static_cast<int32_t>(params_.size()),
                                  &inputs, nullptr));
        mezzo_scale_update_desc rules{};
        rules.struct_size = sizeof rules;
        rules.growth_interval = 1;
        rules.growth_factor = 2;
        rules.backoff_factor = 0.5;
        const mezzo_tensor found_inf = found_inf_;
        EXPECT_OK(mezzo_scale_update(scale_, tracker_, {}, {}, {}, &found_inf, nullptr, 1, &rules));
    }

    double found_inf() const { return found_inf_.item(); }
    double steps() const { return steps_.item(); }
    double scale() const { return scale_.item(); }

    /// All that a step leaves behind.
    std::vector<std::vector<uint8_t>> bytes() const {
        std::vector<std::vector<uint8_t>> all;
        for (const TestTensor *tensor : {&loss_, &found_inf_, &steps_, &scale_, &tracker_}) {
            all.push_back(tensor->bytes());
        }
        for (const auto *tensors : {&params_, &exp_avgs_, &exp_avg_sqs_, &copies_}) {
            for (const TestTensor &tensor : *tensors) {
                if (tensor.handle().id != 0) all.push_back(tensor.bytes());
            }
        }
        return all;
    }

  private:
    // A first weight of two tiles and more, a second that is a thin matrix.
    static constexpr int64_t kRows = 300, kIn = 20, kHidden = 70, kOut = 3;

    static Shape hidden_shape() { return {kRows, kHidden}; }

    TestTensor input_{MEZZO_DTYPE_F16, {kRows, kIn}}, target_{MEZZO_DTYPE_F32, {kRows, kOut}};
    std::vector<TestTensor> params_, exp_avgs_, exp_avg_sqs_, copies_; // weight, bias, weight, bias
    TestTensor loss_{MEZZO_DTYPE_F32, {}}, found_inf_{MEZZO_DTYPE_F32, {}};
    TestTensor steps_ = TestTensor::scalar(MEZZO_DTYPE_I64, 0);
    TestTensor scale_ = TestTensor::scalar(MEZZO_DTYPE_F32, 1024);
    TestTensor tracker_ = TestTensor::scalar(MEZZO_DTYPE_I32, 0);
};

TEST(CapturedStep, IsOneLaunchWithoutWaitsAndGivesTheBitsOfEager) {
    on_machine(cuda_sim::machine_from_environment(), [] {
        const Training eager, captured;
        const TestGraph graph([&] { captured.step(); }, kFirst);
        for (const bool unfit : {false, true}) {
            eager.feed(50, unfit);
            cuda_sim::mark();
            eager.step();
            EXPECT_GT(cuda_sim::counters().kernels, 8) << "of eight ops";

            captured.feed(50, unfit);
            cuda_sim::mark();
            graph.launch();
            const cuda_sim::Counters counted = cuda_sim::counters();
            EXPECT_EQ(counted.graph_launches, 1);
            EXPECT_EQ(counted.kernels, 0);
            EXPECT_EQ(counted.synchronizations, 0);
            EXPECT_EQ(counted.copies_to_host, 0);
            EXPECT_EQ(counted.allocations, 0);

            EXPECT_EQ(captured.bytes(), eager.bytes()) << "unfit " << unfit;
            EXPECT_EQ(captured.found_inf(), unfit ? 1 : 0);
            EXPECT_EQ(captured.steps(), 1) << "an unfit step is left out";
            EXPECT_EQ(captured.scale(), unfit ? 1024 : 2048);
        }
    });
}

} // namespace
} // namespace mezzo::testing

#endif
