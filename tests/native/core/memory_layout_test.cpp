// SPDX-License-Identifier: MIT
#include "core/memory_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>

namespace mezzo::testing {
namespace {

/// Tensors that come and go in a layout, as in a capture. What overlaps is a failure.
class Step {
  public:
    size_t create(int64_t bytes) { return create_at(layout.find(bytes), bytes); }

    size_t create_at(int64_t offset, int64_t bytes) {
        for (size_t i = 0; i < lives.size(); ++i) {
            const bool is_apart = offsets[i] + lives[i].bytes <= offset || offset + bytes <= offsets[i];
            EXPECT_TRUE(lives[i].died != TensorLife::kForEver || is_apart);
        }
        layout.take(offset, bytes);
        lives.push_back({bytes, clock_++});
        offsets.push_back(offset);
        return lives.size() - 1;
    }

    void destroy(size_t tensor) {
        layout.release(offsets[tensor], lives[tensor].bytes);
        lives[tensor].died = clock_++;
    }

    MemoryLayout layout;
    std::vector<TensorLife> lives;
    std::vector<int64_t> offsets;

  private:
    int64_t clock_ = 0;
};

/// A step that keeps an activation of each layer, and in its backward pass makes small gradients that stay.
Step training_step(int layers, int64_t activation, int64_t gradient) {
    Step step;
    std::vector<size_t> kept;
    for (int i = 0; i < layers; ++i) kept.push_back(step.create(activation));
    size_t flow = step.create(activation);
    for (; !kept.empty(); kept.pop_back()) {
        step.create(gradient);
        const size_t next = step.create(activation);
        step.destroy(flow);
        step.destroy(kept.back());
        flow = next;
    }
    step.destroy(flow);
    return step;
}

/// The same of segments whose activations are dropped, and made again in the backward pass.
Step checkpointed_step(int segments, int layers, int64_t activation, int64_t gradient) {
    Step step;
    std::vector<size_t> inputs;
    for (int segment = 0; segment < segments; ++segment) {
        inputs.push_back(step.create(activation));
        std::vector<size_t> dropped;
        for (int i = 0; i < layers; ++i) dropped.push_back(step.create(activation));
        for (const size_t tensor : dropped) step.destroy(tensor);
    }
    size_t flow = step.create(activation);
    for (; !inputs.empty(); inputs.pop_back()) {
        std::vector<size_t> made;
        for (int i = 0; i < layers; ++i) made.push_back(step.create(activation));
        for (; !made.empty(); made.pop_back()) {
            step.create(gradient);
            const size_t next = step.create(activation);
            step.destroy(flow);
            step.destroy(made.back());
            flow = next;
        }
        step.destroy(inputs.back());
    }
    return step;
}

/// The same sequence once more, each tensor where the plan has it. Step finds out what overlaps.
int64_t end_of_planned(const Step &step, const LayoutPlan &plan) {
    std::vector<std::pair<int64_t, size_t>> events; // time, tensor
    for (size_t i = 0; i < step.lives.size(); ++i) {
        events.emplace_back(step.lives[i].born, i);
        if (step.lives[i].died != TensorLife::kForEver) events.emplace_back(step.lives[i].died, i);
    }
    std::sort(events.begin(), events.end());
    Step planned;
    for (const auto &[time, i] : events) {
        if (time == step.lives[i].died) {
            planned.destroy(i);
        } else {
            EXPECT_TRUE(planned.layout.is_free(plan.offsets[i], plan.bytes[i]));
            planned.create_at(plan.offsets[i], plan.bytes[i]);
        }
    }
    return planned.layout.end();
}

/// A step without any order.
Step random_step(uint32_t seed, int events) {
    std::mt19937 random(seed);
    Step step;
    std::vector<size_t> alive;
    for (int i = 0; i < events; ++i) {
        if (alive.empty() || random() % 5 < 3) {
            alive.push_back(step.create(64 * (1 + (random() % 3 == 0 ? random() % 1000 : random() % 10))));
        } else {
            std::swap(alive[random() % alive.size()], alive.back());
            step.destroy(alive.back());
            alive.pop_back();
        }
    }
    return step;
}

TEST(MemoryLayoutOnCpu, FreeNeighbours_AreOnePart) {
    for (const auto &[first, second] : {std::pair{0, 1}, {1, 0}}) {
        Step step;
        for (const int64_t bytes : {640, 1280, 64}) step.create(bytes);
        step.destroy(static_cast<size_t>(first));
        step.destroy(static_cast<size_t>(second));
        EXPECT_EQ(step.layout.free_parts(), (std::map<int64_t, int64_t>{{0, 1920}}));
        step.create(1920);
        EXPECT_EQ(step.layout.end(), 1984) << "their sum had room";
        EXPECT_TRUE(step.layout.free_parts().empty());
    }
}

TEST(MemoryLayoutOnCpu, Find_TakesTheSmallestPartThatIsLargeEnough) {
    Step step;
    std::vector<size_t> parts;
    for (const int64_t bytes : {1024, 256, 512}) {
        parts.push_back(step.create(bytes));
        step.create(64);
    }
    for (const size_t part : parts) step.destroy(part);
    EXPECT_EQ(step.layout.find(192), step.offsets[parts[1]]);
    EXPECT_EQ(step.layout.find(320), step.offsets[parts[2]]);
    EXPECT_EQ(step.layout.find(1024), step.offsets[parts[0]]);
    EXPECT_EQ(step.layout.find(1088), step.layout.end());
}

TEST(MemoryLayoutOnCpu, FreeSpaceAtTheEnd_JoinsWithWhatIsAdded) {
    Step step;
    step.create(64);
    step.destroy(step.create(640));
    EXPECT_EQ(step.layout.end_with(step.layout.find(1280), 1280), 64 + 1280);
    step.create(1280);
    EXPECT_EQ(step.layout.end(), 64 + 1280);
}

TEST(MemoryLayoutOnCpu, ATensorBeyondTheEnd_LeavesAFreeGap) {
    Step step;
    step.create(64);
    EXPECT_TRUE(step.layout.is_free(640, 128));
    step.create_at(640, 128);
    EXPECT_EQ(step.layout.end(), 768);
    EXPECT_EQ(step.layout.free_parts(), (std::map<int64_t, int64_t>{{64, 576}}));
    EXPECT_TRUE(step.layout.is_free(64, 576));
    EXPECT_FALSE(step.layout.is_free(64, 640));
    EXPECT_FALSE(step.layout.is_free(0, 64));
    EXPECT_FALSE(step.layout.is_free(704, 128));
}

TEST(MemoryLayoutOnCpu, FreeParts_AreThoseThatNothingLiesIn) {
    for (uint32_t seed = 0; seed < 20; ++seed) {
        const Step step = random_step(seed, 300);
        std::vector<bool> taken(static_cast<size_t>(step.layout.end() / 64));
        for (size_t i = 0; i < step.lives.size(); ++i) {
            if (step.lives[i].died != TensorLife::kForEver) continue;
            const auto first = taken.begin() + step.offsets[i] / 64;
            std::fill(first, first + step.lives[i].bytes / 64, true);
        }
        std::map<int64_t, int64_t> expected;
        for (size_t i = 0; i < taken.size(); ++i) {
            if (taken[i]) continue;
            const size_t begin = i;
            while (i < taken.size() && !taken[i]) ++i;
            expected[64 * static_cast<int64_t>(begin)] = 64 * static_cast<int64_t>(i - begin);
        }
        EXPECT_EQ(step.layout.free_parts(), expected) << "seed " << seed;
    }
}

TEST(MemoryLayoutOnCpu, AStackOfTensors_TakesWhatLivesAtMost) {
    Step step;
    std::vector<size_t> stack;
    for (const int64_t bytes : {6400, 64, 128000, 320, 64, 19200}) stack.push_back(step.create(bytes));
    for (; !stack.empty(); stack.pop_back()) {
        step.destroy(step.create(64));
        step.destroy(stack.back());
    }
    EXPECT_EQ(step.layout.end(), live_peak(step.lives));
}

TEST(MemoryLayoutOnCpu, ATrainingStep_TakesWhatLivesAtMost_AndAGradient) {
    const Step step = training_step(12, 64000, 3200);
    EXPECT_LE(step.layout.end(), live_peak(step.lives) + 3200);
}

TEST(LayoutPlanOnCpu, LivePeak_IsTheLargestSum) {
    EXPECT_EQ(live_peak({}), 0);
    EXPECT_EQ(live_peak({{64, 0, 2}, {128, 1, 4}, {256, 3}}), 384);
    EXPECT_EQ(live_peak({{64, 0, 1}, {64, 2, 3}}), 64);
}

TEST(LayoutPlanOnCpu, TensorsThatLiveAtATime_DoNotOverlap) {
    for (uint32_t seed = 0; seed < 20; ++seed) {
        const Step step = random_step(seed, 400);
        const LayoutPlan plan = plan_layout(step.lives);
        EXPECT_EQ(end_of_planned(step, plan), plan.end) << "seed " << seed;
        EXPECT_GE(plan.end, live_peak(step.lives)) << "seed " << seed;
    }
}

TEST(LayoutPlanOnCpu, OfCheckpointedSteps_TakesWhatLivesAtMost) {
    for (const int64_t gradient : {64, 3200, 64000}) {
        const Step step = checkpointed_step(4, 6, 64000, gradient);
        EXPECT_EQ(end_of_planned(step, plan_layout(step.lives)), live_peak(step.lives));
    }
    // Three gradients have room in an activation's place, and leave some.
    const Step ragged = checkpointed_step(4, 6, 64000, 20032);
    EXPECT_LE(end_of_planned(ragged, plan_layout(ragged.lives)), live_peak(ragged.lives) + 20032);
    // What is placed as it comes takes an activation more: else there were no need of plans.
    const Step step = checkpointed_step(4, 6, 64000, 3200);
    EXPECT_GT(step.layout.end(), live_peak(step.lives) + 32000);
}

TEST(LayoutPlanOnCpu, TheExpectedPlan_IsOneThatBeginsWithTheSameSizes) {
    LayoutPlans plans;
    const Step step = checkpointed_step(4, 6, 64000, 20032);
    plans.learn(step.lives, step.layout.end());
    EXPECT_EQ(plans.expected(), nullptr) << "nothing is expected";
    plans.expect(step.lives);
    const LayoutPlans::PlanPtr plan = plans.expected();
    ASSERT_NE(plan, nullptr);
    EXPECT_EQ(plan->bytes.size(), step.lives.size());
    plans.expect({step.lives[0]});
    EXPECT_EQ(plans.expected(), plan);
    plans.expect({step.lives[0], {64, 1}});
    EXPECT_EQ(plans.expected(), nullptr) << "goes on otherwise";

    plans.expect(step.lives);
    plans.learn(step.lives, plan->end); // followed
    EXPECT_EQ(plans.expected(), plan);
    plans.expect({{128, 0}});
    EXPECT_EQ(plans.expected(), nullptr) << "nothing that is known";
    plans.expect(step.lives);
    plans.expect({});
    EXPECT_EQ(plans.expected(), nullptr);
}

TEST(LayoutPlanOnCpu, PlansThatHaveNotBeenUsedForLong_AreForgotten) {
    LayoutPlans plans;
    const Step first = checkpointed_step(4, 6, 64000, 20032), second = checkpointed_step(3, 6, 64000, 20032);
    plans.learn(first.lives, first.layout.end());
    plans.learn(second.lives, second.layout.end());
    for (int64_t layers = 7; layers < 10; ++layers) {
        const Step more = checkpointed_step(4, static_cast<int>(layers), 64064, 20032);
        plans.learn(more.lives, more.layout.end());
    }
    plans.expect(first.lives);
    EXPECT_EQ(plans.expected(), nullptr) << "the oldest goes first";
    plans.expect(second.lives);
    EXPECT_NE(plans.expected(), nullptr);
}

TEST(LayoutPlanOnCpu, ACaptureThatTookNoMoreThanItHadTo_NeedsNone) {
    LayoutPlans plans;
    const std::vector<TensorLife> tensors = {{64, 0, 1}, {64, 2, 3}};
    plans.learn(tensors, 64);
    plans.expect(tensors);
    EXPECT_EQ(plans.expected(), nullptr);
}

} // namespace
} // namespace mezzo::testing
