// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>
#include <string_view>

#include "support/enum.h"
#include "support/every_device.h"
#include "support/graph.h"
#include "support/oracle.h"
#include "support/status.h"

namespace mezzo::testing {
namespace {

/// The rules that only factors and an interval make.
mezzo_scale_update_desc rules_of(int32_t growth_interval, double growth_factor, double backoff_factor) {
    mezzo_scale_update_desc desc{};
    desc.struct_size = sizeof desc;
    desc.growth_interval = growth_interval;
    desc.growth_factor = growth_factor;
    desc.backoff_factor = backoff_factor;
    return desc;
}

/// A dynamic loss scale on its way through training.
class ScaleUpdate : public ::testing::Test {
  protected:
    void start(double scale, double tracker = 0) {
        scale_.write({scale});
        tracker_.write({tracker});
        hysteresis_.write({static_cast<double>(desc_.hysteresis)});
        cause_.write({0});
    }

    /// One step, with Inf or without.
    void step(bool found) {
        found_inf_.write({found ? 1.0 : 0.0});
        const mezzo_tensor handle = found_inf_;
        ASSERT_OK(mezzo_scale_update(scale_, tracker_, hysteresis_, cause_, {}, &handle, nullptr, 1, &desc_));
    }

    mezzo_scale_update_desc desc_ = rules_of(2000, 2, 0.5);
    TestTensor scale_ = TestTensor::scalar(MEZZO_DTYPE_F32, 65536);
    TestTensor tracker_ = TestTensor::scalar(MEZZO_DTYPE_I32, 0);
    TestTensor hysteresis_ = TestTensor::scalar(MEZZO_DTYPE_I32, 0);
    TestTensor cause_ = TestTensor::scalar(MEZZO_DTYPE_I32, 0);
    TestTensor found_inf_ = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
};

/// The rules of a training library, and the scales after each step of kSteps from 1024 at an interval of 3, computed
/// from the library's source.
struct Library {
    const char *name;
    double min_scale, max_scale;
    int32_t hysteresis;
    mezzo_growth growth;
    mezzo_hysteresis_refill refill;
    std::vector<double> scales;

    mezzo_scale_update_desc rules() const {
        mezzo_scale_update_desc desc = rules_of(3, 2, 0.5);
        desc.min_scale = min_scale;
        desc.max_scale = max_scale;
        desc.hysteresis = hysteresis;
        desc.growth = growth;
        desc.refill = refill;
        return desc;
    }
};

constexpr std::string_view kSteps = "..X....XX...X.XX.X......";

std::vector<Library> libraries() {
    constexpr auto kOnGrowth = MEZZO_HYSTERESIS_REFILL_ON_GROWTH;
    constexpr auto kOnCleanStep = MEZZO_HYSTERESIS_REFILL_ON_CLEAN_STEP;
    const std::vector<double> torch = {1024, 1024, 512, 512, 512, 1024, 1024, 512, 256, 256, 256, 512,
                                       256,  256,  128, 64,  64,  32,   32,   32,  64,  64,  64,  128};
    return {
        {"PyTorch", 0, 0, 0, MEZZO_GROWTH_RESTARTS, kOnGrowth, torch},
        {"apex amp", 0, 0x1p24, 1, MEZZO_GROWTH_RESTARTS, kOnGrowth, torch},
        {"apex FP16_Optimizer", 1, 0, 1, MEZZO_GROWTH_REPEATS, kOnGrowth, torch},
        {"DeepSpeed, hysteresis 2", 1, 0, 2, MEZZO_GROWTH_REPEATS_AFTER_FIRST, kOnGrowth, {1024, 1024, 1024, 1024, 1024,
                                                                                           1024, 2048, 2048, 1024, 1024,
                                                                                           1024, 1024, 512,  512,  256,
                                                                                           128,  128,  64,   64,   64,
                                                                                           64,   128,  128,  128}},
        {"DeepSpeed, consecutive hysteresis 2",
         1,
         0,
         2,
         MEZZO_GROWTH_REPEATS_AFTER_FIRST,
         kOnCleanStep,
         {1024, 1024, 1024, 1024, 1024, 1024, 2048, 2048, 1024, 1024, 1024, 1024,
          1024, 1024, 1024, 512,  512,  512,  512,  512,  512,  1024, 1024, 1024}},
        {"DeepSpeed, hysteresis 1", 1, 0, 1, MEZZO_GROWTH_REPEATS_AFTER_FIRST, kOnGrowth, {1024, 1024, 512, 512, 512,
                                                                                           512,  1024, 512, 256, 256,
                                                                                           256,  256,  128, 128, 64,
                                                                                           32,   32,   16,  16,  16,
                                                                                           16,   32,   32,  32}},
        {"Megatron-LM, hysteresis 2", 1, 0, 2, MEZZO_GROWTH_RESTARTS, kOnGrowth, {1024, 1024, 1024, 1024, 1024, 2048,
                                                                                  2048, 2048, 1024, 1024, 1024, 2048,
                                                                                  2048, 2048, 1024, 512,  512,  256,
                                                                                  256,  256,  512,  512,  512,  1024}},
        {"apex's update_scale_hysteresis, 2", 0, 0, 2, MEZZO_GROWTH_RESTARTS, kOnCleanStep, {1024, 1024, 1024, 1024,
                                                                                             1024, 2048, 2048, 2048,
                                                                                             1024, 1024, 1024, 2048,
                                                                                             2048, 2048, 2048, 1024,
                                                                                             1024, 1024, 1024, 1024,
                                                                                             2048, 2048, 2048, 4096}}};
}

TEST_F(ScaleUpdate, FollowsTheTracesOfTrainingLibraries) {
    for (const Library &library : libraries()) {
        desc_ = library.rules();
        start(1024);
        ASSERT_EQ(library.scales.size(), kSteps.size());
        for (size_t i = 0; i < kSteps.size(); ++i) {
            step(kSteps[i] == 'X');
            EXPECT_EQ(scale_.item(), library.scales[i]) << library.name << ", after step " << i;
        }
    }
}

TEST_F(ScaleUpdate, BacksOffToTheFloorAndSaysSo) {
    desc_.min_scale = 100;
    start(512);
    for (const double scale : {256.0, 128.0, 100.0}) {
        step(true);
        EXPECT_EQ(scale_.item(), scale);
        EXPECT_EQ(cause_.item(), MEZZO_SCALE_CAUSE_OVERFLOW);
    }
    step(true);
    EXPECT_EQ(scale_.item(), 100);
    EXPECT_EQ(cause_.item(), MEZZO_SCALE_CAUSE_AT_MINIMUM);
    step(false);
    EXPECT_EQ(cause_.item(), MEZZO_SCALE_CAUSE_NONE) << "each update says it of itself";
    desc_.min_scale = 0.1; // no number of f32
    start(0.15);
    step(true);
    EXPECT_EQ(scale_.item(), rounded({0.1}, MEZZO_DTYPE_F32)[0]);
    EXPECT_EQ(cause_.item(), MEZZO_SCALE_CAUSE_OVERFLOW);
    step(true);
    EXPECT_EQ(cause_.item(), MEZZO_SCALE_CAUSE_AT_MINIMUM);
}

TEST_F(ScaleUpdate, GrowsToTheCeiling) {
    desc_.growth_interval = 1;
    desc_.max_scale = 3000;
    start(1024);
    for (const double scale : {2048.0, 3000.0, 3000.0}) {
        step(false);
        EXPECT_EQ(scale_.item(), scale);
    }
    start(5000);
    step(false);
    EXPECT_EQ(scale_.item(), 3000) << "as apex's min(max_scale, 2 scale)";
}

TEST_F(ScaleUpdate, CountsOnWhereGrowthRepeats) {
    desc_.growth_interval = 2;
    desc_.growth = MEZZO_GROWTH_REPEATS;
    start(1);
    for (const double scale : {1.0, 2.0, 2.0, 4.0}) {
        step(false);
        EXPECT_EQ(scale_.item(), scale);
    }
    EXPECT_EQ(tracker_.item(), 4);
    start(8, 2147483647);
    desc_.growth_interval = 1;
    step(false);
    EXPECT_EQ(scale_.item(), 8) << "the tracker is full";
    start(4, 4);
    desc_.growth_interval = 5; // unlike one that restarts, a tracker meets any interval in the end
    step(false);
    EXPECT_EQ(scale_.item(), 8);
}

TEST_F(ScaleUpdate, GrowsFirstAfterTheDefaultInterval) {
    const mezzo_tensor handle = found_inf_;
    for (int i = 0; i < 1999; ++i)
        ASSERT_OK(mezzo_scale_update(scale_, tracker_, {}, {}, {}, &handle, nullptr, 1, nullptr));
    EXPECT_EQ(scale_.item(), 65536);
    EXPECT_EQ(tracker_.item(), 1999);
    ASSERT_OK(mezzo_scale_update(scale_, tracker_, {}, {}, {}, &handle, nullptr, 1, nullptr));
    EXPECT_EQ(scale_.item(), 131072);
    EXPECT_EQ(tracker_.item(), 0);
}

TEST_F(ScaleUpdate, StopsGrowingBeforeInfAndResetsTheTracker) {
    start(0x1p126);
    desc_.growth_interval = 2;
    for (int i = 0; i < 2; ++i) step(false);
    EXPECT_EQ(scale_.item(), 0x1p127);
    for (int i = 0; i < 2; ++i) step(false);
    EXPECT_EQ(scale_.item(), 0x1p127);
    EXPECT_EQ(tracker_.item(), 0);
}

TEST_F(ScaleUpdate, BacksOffThroughSubnormalsToZeroAndStaysThere) {
    for (int i = 0; i < 165; ++i) step(true);
    EXPECT_EQ(scale_.item(), 0x1p-149);
    step(true);
    EXPECT_EQ(scale_.item(), 0);
    desc_.growth_interval = 1;
    step(false);
    EXPECT_EQ(scale_.item(), 0);
}

TEST_F(ScaleUpdate, RoundsTheProductOnce) {
    start(3);
    desc_.backoff_factor = 0.1;
    step(true);
    EXPECT_EQ(scale_.item(), rounded({3 * 0.1}, MEZZO_DTYPE_F32)[0]);
}

TEST_F(ScaleUpdate, NeverMeetsAnIntervalLoweredBelowTheTracker) {
    start(1024, 50);
    desc_.growth_interval = 10;
    for (int i = 0; i < 1000; ++i) step(false);
    EXPECT_EQ(scale_.item(), 1024);
    EXPECT_EQ(tracker_.item(), 1050);
    start(1024, 2147483647);
    step(false);
    EXPECT_EQ(tracker_.item(), 2147483647) << "the tracker does not overflow";
}

TEST_F(ScaleUpdate, CountsAnyOptimizersInfAndNaN) {
    const TestTensor clean = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
    for (const double found : {1.0, 2.0, static_cast<double>(NAN)}) {
        const TestTensor last = TestTensor::scalar(MEZZO_DTYPE_F32, found);
        const mezzo_tensor handles[] = {clean, clean, last};
        start(1024, 5);
        ASSERT_OK(mezzo_scale_update(scale_, tracker_, {}, {}, {}, handles, nullptr, 2, nullptr));
        EXPECT_EQ(scale_.item(), 1024);
        EXPECT_EQ(tracker_.item(), 6);
        ASSERT_OK(mezzo_scale_update(scale_, tracker_, {}, {}, {}, handles, nullptr, 3, nullptr));
        EXPECT_EQ(scale_.item(), 512);
        EXPECT_EQ(tracker_.item(), 0);
    }
}

TEST_F(ScaleUpdate, FindsAnyOneOfMany) {
    for (const size_t count : {33, 240, 241, 1200}) {
        std::vector<TestTensor> found_infs;
        std::vector<mezzo_tensor> handles;
        for (size_t i = 0; i < count; ++i) {
            handles.push_back(found_infs.emplace_back(MEZZO_DTYPE_F32, Shape{}, std::vector<double>{0}));
        }
        const auto next_scale = [&] {
            start(1024, 5);
            EXPECT_OK(mezzo_scale_update(scale_, tracker_, {}, {}, {}, handles.data(), nullptr,
                                         static_cast<int32_t>(count), nullptr));
            return scale_.item();
        };
        EXPECT_EQ(next_scale(), 1024);
        for (const size_t set : {size_t{0}, size_t{32}, count / 2, count - 2, count - 1}) {
            found_infs[set].write({1});
            EXPECT_EQ(next_scale(), 512) << set << " of " << count;
            EXPECT_EQ(tracker_.item(), 0);
            found_infs[set].write({0});
        }
        EXPECT_EQ(next_scale(), 1024);
    }
}

/// A summary of gradients with so many Inf and NaN.
TestTensor summary_of(double infs, double nans) {
    return TestTensor(MEZZO_DTYPE_I64, {MEZZO_GRAD_SUMMARY_LENGTH}, {infs, nans, 0, 3, 0});
}

TEST_F(ScaleUpdate, KeepsTheScaleWhereNoScaleCuresNaN) {
    constexpr auto kOverflow = MEZZO_SCALE_CAUSE_OVERFLOW;
    constexpr auto kNaN = MEZZO_SCALE_CAUSE_NOT_A_NUMBER;
    const struct {
        double scale, infs, nans, lost, next;
        mezzo_scale_cause cause;
    } cases[] = {
        {1024, 0, 3, 0, 512, kOverflow}, {1024, 0, 3, 1, 1024, kNaN},  {1024, 1, 3, 1, 512, kOverflow},
        {1024, 1, 0, 1, 512, kOverflow}, {2, 0, 3, 0, 1, kOverflow},   {1, 0, 3, 0, 1, kNaN},
        {0.25, 0, 3, 0, 0.25, kNaN},     {1, 1, 3, 0, 0.5, kOverflow}, {1, 1, 0, 0, 0.5, kOverflow},
        {1, 0, 0, 1, 0.5, kOverflow},
    };
    const mezzo_tensor found = found_inf_;
    found_inf_.write({1});
    for (const auto &[scale, infs, nans, lost, next, cause] : cases) {
        const TestTensor given = summary_of(infs, nans);
        const TestTensor loss_nonfinite = TestTensor::scalar(MEZZO_DTYPE_F32, lost);
        const mezzo_tensor summary = given;
        start(scale, 7);
        ASSERT_OK(
            mezzo_scale_update(scale_, tracker_, hysteresis_, cause_, loss_nonfinite, &found, &summary, 1, &desc_));
        EXPECT_EQ(scale_.item(), next) << scale << ", " << infs << " Inf, " << nans << " NaN";
        EXPECT_EQ(cause_.item(), cause);
        EXPECT_EQ(tracker_.item(), 0);
        EXPECT_EQ(loss_nonfinite.item(), 0) << "ready for the next step";
    }
}

TEST_F(ScaleUpdate, LeavesHysteresisAlone_WhereNoScaleCuresNaN) {
    desc_.hysteresis = 3;
    const TestTensor given = summary_of(0, 1);
    const mezzo_tensor summary = given;
    const mezzo_tensor found = found_inf_;
    found_inf_.write({1});
    start(1);
    ASSERT_OK(mezzo_scale_update(scale_, tracker_, hysteresis_, cause_, {}, &found, &summary, 1, &desc_));
    EXPECT_EQ(hysteresis_.item(), 3);
}

TEST_F(ScaleUpdate, OfALossThatIsNotFinite_WithCleanGradients_CountsAsClean) {
    const TestTensor loss_nonfinite = TestTensor::scalar(MEZZO_DTYPE_F32, 1);
    const mezzo_tensor found = found_inf_;
    start(1024);
    ASSERT_OK(mezzo_scale_update(scale_, tracker_, hysteresis_, cause_, loss_nonfinite, &found, nullptr, 1, &desc_));
    EXPECT_EQ(tracker_.item(), 1);
    EXPECT_EQ(cause_.item(), MEZZO_SCALE_CAUSE_NONE);
}

TEST_F(ScaleUpdate, BacksOffWhereOneOfManyOptimizersHasAnOverflow) {
    const TestTensor nan_alone = summary_of(0, 1);
    const TestTensor overflow = summary_of(1, 1);
    const TestTensor clean = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
    found_inf_.write({1});
    for (const size_t count : {2, 240, 241, 500}) {
        std::vector<mezzo_tensor> found(count, found_inf_);
        std::vector<mezzo_tensor> summaries(count, nan_alone);
        const auto next_scale = [&] {
            start(1);
            EXPECT_OK(mezzo_scale_update(scale_, tracker_, hysteresis_, cause_, {}, found.data(), summaries.data(),
                                         static_cast<int32_t>(count), &desc_));
            return scale_.item();
        };
        EXPECT_EQ(next_scale(), 1);
        for (const size_t k : {size_t{0}, count / 2, count - 1}) {
            summaries[k] = overflow;
            EXPECT_EQ(next_scale(), 0.5) << k << " of " << count;
            found[k] = clean;
            EXPECT_EQ(next_scale(), 1) << "a summary without found_inf says nothing";
            found[k] = found_inf_;
            summaries[k] = {};
            EXPECT_EQ(next_scale(), 0.5) << "what has no summary may be an overflow";
            summaries[k] = nan_alone;
        }
    }
}

TEST_F(ScaleUpdate, OnEveryDevice_GivesTheSameBits) {
    desc_ = rules_of(2, 1.7, 0.3);
    desc_.min_scale = 0.001;
    desc_.max_scale = 70000;
    desc_.hysteresis = 2;
    std::vector<double> scales = random_values(50, 1, 0, 70000);
    for (const double special : special_values(MEZZO_DTYPE_F32)) {
        if (!std::isnan(special)) scales.push_back(special);
    }
    for (const double scale : scales) {
        start(scale);
        const TestTensor cpu_scale = on_cpu(scale_);
        const TestTensor cpu_tracker = on_cpu(tracker_);
        const TestTensor cpu_hysteresis = on_cpu(hysteresis_);
        const TestTensor cpu_cause = on_cpu(cause_);
        for (const bool found : {false, false, true, false, true, true, false, false}) {
            step(found);
            const TestTensor cpu_found = on_cpu(found_inf_);
            const mezzo_tensor handle = cpu_found;
            ASSERT_OK(
                mezzo_scale_update(cpu_scale, cpu_tracker, cpu_hysteresis, cpu_cause, {}, &handle, nullptr, 1, &desc_));
            ASSERT_EQ(scale_.bytes(), cpu_scale.bytes()) << "from " << scale;
            ASSERT_EQ(tracker_.item(), cpu_tracker.item());
            ASSERT_EQ(hysteresis_.item(), cpu_hysteresis.item());
            ASSERT_EQ(cause_.item(), cpu_cause.item());
        }
    }
}

TEST_F(ScaleUpdate, InAGraph_ReadsFoundInfWhenItIsLaunched) {
    desc_.growth_interval = 2;
    start(1024);
    const mezzo_tensor handle = found_inf_;
    const TestGraph graph(
        [&] { EXPECT_OK(mezzo_scale_update(scale_, tracker_, {}, {}, {}, &handle, nullptr, 1, &desc_)); });
    EXPECT_EQ(scale_.item(), 1024);
    const std::vector<std::pair<bool, double>> expected = {{false, 1024}, {false, 2048}, {true, 1024}, {false, 1024}};
    for (const auto &[found, scale] : expected) {
        found_inf_.write({found ? 1.0 : 0.0});
        graph.launch();
        EXPECT_EQ(scale_.item(), scale);
    }
    EXPECT_EQ(tracker_.item(), 1);
}

TEST_F(ScaleUpdate, RejectsBadArguments) {
    const mezzo_tensor found = found_inf_;
    const TestTensor wide = TestTensor::scalar(MEZZO_DTYPE_F64, 1);
    const TestTensor vector(MEZZO_DTYPE_F32, {1}, {1});
    EXPECT_FAILS(mezzo_scale_update({}, tracker_, {}, {}, {}, &found, nullptr, 1, nullptr), INVALID_HANDLE,
                 "scale_update: scale is the null tensor");
    EXPECT_FAILS(mezzo_scale_update(scale_, {}, {}, {}, {}, &found, nullptr, 1, nullptr), INVALID_HANDLE,
                 "scale_update: growth_tracker is the null tensor");
    EXPECT_FAILS(mezzo_scale_update(scale_, tracker_, {}, {}, {}, nullptr, nullptr, 1, nullptr), INVALID_ARGUMENT,
                 "scale_update: found_infs is a null pointer");
    EXPECT_FAILS(mezzo_scale_update(scale_, tracker_, {}, {}, {}, &found, nullptr, 0, nullptr), INVALID_ARGUMENT,
                 "scale_update: count is 0, expected at least 1");
    EXPECT_FAILS(mezzo_scale_update(wide, tracker_, {}, {}, {}, &found, nullptr, 1, nullptr), DTYPE_MISMATCH,
                 "scale_update: scale is f64[], expected dtype f32");
    EXPECT_FAILS(mezzo_scale_update(vector, tracker_, {}, {}, {}, &found, nullptr, 1, nullptr), SHAPE_MISMATCH,
                 "scale_update: scale is f32[1], expected f32[]");
    EXPECT_FAILS(mezzo_scale_update(scale_, found_inf_, {}, {}, {}, &found, nullptr, 1, nullptr), DTYPE_MISMATCH,
                 "scale_update: growth_tracker is f32[], expected dtype i32");
    const mezzo_tensor wide_handle = wide;
    EXPECT_FAILS(mezzo_scale_update(scale_, tracker_, {}, {}, {}, &wide_handle, nullptr, 1, nullptr), DTYPE_MISMATCH,
                 "scale_update: found_infs[0] is f64[], expected dtype f32");
    EXPECT_FAILS(mezzo_scale_update(found_inf_, tracker_, {}, {}, {}, &found, nullptr, 1, nullptr), INVALID_ARGUMENT,
                 "scale_update: scale shares memory with found_infs[0], expected separate tensors");
    const auto fails = [&](const char *text) {
        EXPECT_FAILS(mezzo_scale_update(scale_, tracker_, {}, {}, {}, &found, nullptr, 1, &desc_), INVALID_ARGUMENT,
                     text);
        desc_ = rules_of(2000, 2, 0.5);
    };
    desc_.struct_size = 4;
    fails("scale_update: desc.struct_size is 4, expected 56");
    desc_.growth_interval = 0;
    fails("scale_update: desc.growth_interval is 0, expected at least 1");
    desc_.growth_factor = INFINITY;
    fails("scale_update: desc.growth_factor is inf, expected a finite number above 0");
    desc_.backoff_factor = 0;
    fails("scale_update: desc.backoff_factor is 0, expected a finite number above 0");
    desc_.min_scale = -1;
    fails("scale_update: desc.min_scale is -1, expected 0 or a finite number above 0 in f32");
    desc_.max_scale = NAN;
    fails("scale_update: desc.max_scale is nan, expected 0 or a finite number above 0 in f32");
    desc_.min_scale = 1e39;
    fails("scale_update: desc.min_scale is 1e+39, expected 0 or a finite number above 0 in f32");
    desc_.min_scale = 1e-50;
    fails("scale_update: desc.min_scale is 1e-50, expected 0 or a finite number above 0 in f32");
    desc_.min_scale = 2;
    desc_.max_scale = 1;
    fails("scale_update: desc.max_scale is 1, expected 0 or at least desc.min_scale, 2");
    desc_.hysteresis = -1;
    fails("scale_update: desc.hysteresis is -1, expected at least 0");
    desc_.growth = enum_of<mezzo_growth>(3);
    fails("scale_update: desc.growth is 3, expected a mezzo_growth (0 to 2)");
    desc_.refill = enum_of<mezzo_hysteresis_refill>(2);
    fails("scale_update: desc.refill is 2, expected a mezzo_hysteresis_refill (0 to 1)");
    desc_.hysteresis = 2;
    fails("scale_update: hysteresis_tracker is missing, expected i32[] as desc.hysteresis is 2");
    EXPECT_FAILS(mezzo_scale_update(scale_, tracker_, found_inf_, {}, {}, &found, nullptr, 1, nullptr), DTYPE_MISMATCH,
                 "scale_update: hysteresis_tracker is f32[], expected dtype i32");
    EXPECT_FAILS(mezzo_scale_update(scale_, tracker_, tracker_, {}, {}, &found, nullptr, 1, nullptr), INVALID_ARGUMENT,
                 "scale_update: hysteresis_tracker shares memory with growth_tracker, expected separate tensors");
    EXPECT_FAILS(mezzo_scale_update(scale_, tracker_, {}, found_inf_, {}, &found, nullptr, 1, nullptr), DTYPE_MISMATCH,
                 "scale_update: cause is f32[], expected dtype i32");
    EXPECT_FAILS(mezzo_scale_update(scale_, tracker_, {}, {}, wide, &found, nullptr, 1, nullptr), DTYPE_MISMATCH,
                 "scale_update: loss_nonfinite is f64[], expected dtype f32");
    const mezzo_tensor summary = tracker_;
    EXPECT_FAILS(mezzo_scale_update(scale_, tracker_, {}, {}, {}, &found, &summary, 1, nullptr), DTYPE_MISMATCH,
                 "scale_update: grad_summaries[0] is i32[], expected dtype i64");
    const TestTensor four(MEZZO_DTYPE_I64, {4});
    const mezzo_tensor shorter = four;
    EXPECT_FAILS(mezzo_scale_update(scale_, tracker_, {}, {}, {}, &found, &shorter, 1, nullptr), SHAPE_MISMATCH,
                 "scale_update: grad_summaries[0] is i64[4], expected i64[5]");
    EXPECT_EQ(scale_.item(), 65536) << "a failed call changes nothing";
}

} // namespace
} // namespace mezzo::testing
