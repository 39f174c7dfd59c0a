// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Optimizers;

internal sealed class ScheduleTests : TensorFixture
{
    private static readonly LearningRateSchedule Restless = new StepSchedule(1, 0.5);

    [Test]
    public void WarmupLinear_GivesThePublishedValues()
    {
        var schedule = new WarmupLinearSchedule(100, 0.1);
        double[] factors = [.. new long[] { 0, 5, 10, 11, 50, 99, 100 }.Select(schedule.Factor)];
        Assert.That(factors, Is.EqualTo([0, 0.5, 1, 0.988889, 0.555556, 0.011111, 0]).Within(5e-7));
        Assert.That((new WarmupLinearSchedule(100).Factor(0), schedule.Factor(101)), Is.EqualTo((1.0, 0.0)));
    }

    [Test]
    public void WarmupConstant_AndCosine_FollowTheirFormulas()
    {
        Assert.That(Factors(new WarmupConstantSchedule(100, 0.2), 0, 10, 20, 99, 1000), Is.EqualTo([0, 0.5, 1, 1, 1]));
        var cosine = new WarmupCosineSchedule(100, 0.2);
        Assert.That(Factors(cosine, 0, 10, 20, 60, 100), Is.EqualTo([0, 0.5, 1, 0.5, 0]).Within(1e-15));
        Assert.That(Factors(new WarmupCosineSchedule(100, 0.2, cycles: 2), 40, 60, 80), Is.EqualTo([0.5 * (1 + Math.Cos(Math.PI)), 1, 0]).Within(1e-15));
        var early = cosine with { Jumps = true };
        Assert.That(Factors(early, 10, 20, 50), Is.EqualTo([0.5, 0.5 * (1 + Math.Cos(0.2 * Math.PI)), 0.5]).Within(1e-15));
    }

    [Test]
    public void Linear_AndDeepSpeeds_FollowTheirFormulas()
    {
        Assert.That(Factors(new LinearSchedule(100, 10), 0, 5, 10, 55, 100, 150), Is.EqualTo([0, 0.5, 1, 0.5, 0, 0]));
        Assert.That(Factors(new LinearSchedule(10, 10), 9, 10, 11), Is.EqualTo([0.9, 0, 0]));
        Assert.That(Factors(new DeepSpeedWarmupSchedule(16), 0, 3, 15, 16, 99), Is.EqualTo([0, 0.5, 1, 1, 1]).Within(1e-15));
        Assert.That(Factors(new DeepSpeedWarmupSchedule(10, linear: true), 0, 5, 10), Is.EqualTo([0, 0.5, 1]));
        Assert.That(Factors(new DeepSpeedWarmupSchedule(0), 0, 1, 2), Is.EqualTo([0, 1, 1]));
        Assert.That(Factors(new DeepSpeedWarmupSchedule(10, linear: true, totalSteps: 20), 5, 10, 15, 20, 30), Is.EqualTo([0.5, 1, 0.5, 0, 0]));
    }

    [Test]
    public void Step_AndExponential_FollowTheirFormulas()
    {
        Assert.That(Factors(new StepSchedule(10, 0.5), 0, 9, 10, 19, 20), Is.EqualTo([1, 1, 0.5, 0.5, 0.25]));
        Assert.That(Factors(new ExponentialSchedule(0.5), 0, 1, 3), Is.EqualTo([1, 0.5, 0.125]));
    }

    [Test]
    public void Schedules_WithBadArguments_NameThem()
    {
        Assert.Multiple(() =>
        {
            AssertRefuses(() => new WarmupLinearSchedule(0), "totalSteps");
            AssertRefuses(() => new WarmupLinearSchedule(10, 1), "warmup");
            AssertRefuses(() => new WarmupConstantSchedule(10, -0.1), "warmup");
            AssertRefuses(() => new WarmupCosineSchedule(10, 0, 0), "cycles");
            AssertRefuses(() => new LinearSchedule(10, -1), "warmupSteps");
            AssertRefuses(() => new DeepSpeedWarmupSchedule(-1), "warmupSteps");
            AssertRefuses(() => new StepSchedule(0), "stepSize");
            AssertRefuses(() => new ExponentialSchedule(double.NaN), "gamma");
            AssertRefuses(() => new OneCycleSchedule(1), "totalSteps");
            AssertRefuses(() => new OneCycleSchedule(10, divFactor: 0), "divFactor");
        });

        static void AssertRefuses(Func<object> create, string name) =>
            Assert.That(create, Throws.TypeOf<ArgumentOutOfRangeException>().With.Property("ParamName").EqualTo(name));
    }

    [TestCase(ScheduleSteps.Applied, 3)]
    [TestCase(ScheduleSteps.All, 6)]
    public void Schedule_CountsAppliedStepsOrAll(ScheduleSteps steps, int halvings)
    {
        var parameter = Ones();
        using var optimizer = new Sgd([parameter], new SgdOptions { LearningRate = 1 }) { Schedule = Restless, ScheduleSteps = steps };
        var scaler = new GradScaler(initScale: 1, growthInterval: 1000);
        for (int step = 0; step < 6; step++)
        {
            optimizer.ZeroGrad();
            scaler.Scale(parameter.Sum() * (step % 2 == 0 ? double.PositiveInfinity : 0)).Backward();
            scaler.Step(optimizer);
            scaler.Update();
        }

        Assert.That((optimizer.Groups[0].StepCount, optimizer.Groups[0].NextLearningRate), Is.EqualTo((3L, Math.Pow(0.5, halvings))));
    }

    [Test]
    public void Schedule_LongerThanWhatIsWrittenAhead_IsFollowed()
    {
        var parameter = Ones();
        using var optimizer = new Sgd([parameter], new SgdOptions { LearningRate = 1 }) { Schedule = new LinearSchedule(1000) };
        double expected = 1;
        for (int step = 0; step < 600; step++)
        {
            expected -= 1 - step / 1000.0;
            OptimizerSteps.With(optimizer, parameter, 1);
            Assert.That(OptimizerSteps.Values(parameter)[0], Is.EqualTo(expected).Within(1e-9), $"step {step}");
        }
    }

    [Test]
    public void Schedule_InAGraph_IsFollowed()
    {
        var parameter = Ones();
        OptimizerSteps.Backward(parameter, [1]);
        using var optimizer = new Sgd([parameter], new SgdOptions { LearningRate = 1 }) { Schedule = new LinearSchedule(1000) };
        using var graph = Graph.Capture(() => optimizer.Step(), TestDevice.Current);
        double expected = 1;
        for (int step = 0; step < 600; step++)
        {
            optimizer.LearningRate = step < 300 ? 1 : 2;
            expected -= (1 - step / 1000.0) * optimizer.LearningRate;
            graph.Launch();
        }

        Assert.That(OptimizerSteps.Values(parameter)[0], Is.EqualTo(expected).Within(1e-9));
        Assert.That(optimizer.StepCount, Is.EqualTo(600));
    }

    [Test]
    public void Schedule_OfSeveralStepsInAGraph_IsFollowed()
    {
        var parameter = Ones();
        OptimizerSteps.Backward(parameter, [1]);
        using var optimizer = new Sgd([parameter], new SgdOptions { LearningRate = 1 }) { Schedule = new LinearSchedule(1000) };
        using var graph = Graph.Capture(
            () =>
            {
                optimizer.Step();
                optimizer.Step();
                optimizer.Step();
            },
            TestDevice.Current);
        double expected = 1;
        for (int launch = 0; launch < 300; launch++)
        {
            expected -= 3 - (9 * launch + 3) / 1000.0;
            graph.Launch();
        }

        Assert.That(OptimizerSteps.Values(parameter)[0], Is.EqualTo(expected).Within(1e-9));
    }

    [Test]
    public void Schedule_ThatEnds_IsFollowedToItsEnd_AndThenRefusedByName()
    {
        var (first, second) = (Ones(), Ones());
        var options = new SgdOptions { LearningRate = 0.5 };
        using var optimizer = new Sgd([([first], options), ([second], options)]);
        optimizer.Groups[1].Schedule = new Ending();
        for (int step = 0; step < 3; step++)
        {
            StepBoth();
        }

        string message = "The schedule Ending { } gives the factor NaN of the learning rate 0.5 for step 3, expected a finite product of at least 0.";
        Assert.That(StepBoth, Throws.InvalidOperationException.With.Message.EqualTo(message));
        Assert.That((OptimizerSteps.Values(first)[0], optimizer.Groups[0].StepCount), Is.EqualTo((-0.5, 3L)), "no group was stepped without the other");
        optimizer.Schedule = null;
        Assert.That(StepBoth, Throws.Nothing);

        void StepBoth()
        {
            optimizer.ZeroGrad();
            OptimizerSteps.Backward(first, [1]);
            OptimizerSteps.Backward(second, [1]);
            optimizer.Step();
        }
    }

    [Test]
    public void ScheduleSteps_ChangedOnTheWay_GoOnFromTheStepsApplied([Values] bool twice)
    {
        var parameter = Ones();
        using var optimizer = new Sgd([parameter], new SgdOptions { LearningRate = 1 }) { Schedule = new LinearSchedule(1000) };
        double expected = 1;
        for (int step = 0; step < 600; step++)
        {
            if (step == 300 || (twice && step == 310))
            {
                optimizer.ScheduleSteps = 1 - optimizer.ScheduleSteps;
                optimizer.LearningRate = 2;
            }

            Assert.That(optimizer.Groups[0].NextLearningRate, Is.EqualTo((1 - step / 1000.0) * optimizer.LearningRate).Within(1e-12));
            expected -= (1 - step / 1000.0) * optimizer.LearningRate;
            OptimizerSteps.With(optimizer, parameter, 1);
        }

        Assert.That(OptimizerSteps.Values(parameter)[0], Is.EqualTo(expected).Within(1e-9));
    }

    [Test]
    public void ScheduleSteps_ChangedWithinACapture_AreRefused()
    {
        using var optimizer = new Sgd([Ones()]);
        Assert.That(
            () => Graph.Capture(() => optimizer.ScheduleSteps = ScheduleSteps.All, TestDevice.Current),
            Throws.InvalidOperationException.With.Message.Contains("ScheduleSteps was changed within a capture"));
    }

    [Test]
    public void Schedule_OverSkippedSteps_IsRefilledWhereItsWindowEnds()
    {
        var parameter = Ones();
        using var optimizer = new Sgd([parameter], new SgdOptions { LearningRate = 1 }) { Schedule = new LinearSchedule(1000) };
        var scaler = new GradScaler(ScalerPolicy.Static(1));
        double expected = 1;
        for (int step = 0; step < 900; step++)
        {
            bool skips = step % 3 == 1;
            expected -= skips ? 0 : 1 - (step - (step + 1) / 3) / 1000.0;
            optimizer.ZeroGrad();
            OptimizerSteps.Backward(scaler.Scale(parameter), [skips ? double.PositiveInfinity : 1]);
            scaler.Step(optimizer);
            scaler.Update();
        }

        Assert.That((OptimizerSteps.Values(parameter)[0], optimizer.StepCount), Is.EqualTo((expected, 600L)).Within(1e-9));
    }

    private static Parameter Ones()
    {
        var parameter = new Parameter([1], DType.Float64);
        parameter.Fill(1);
        return parameter;
    }

    private static double[] Factors(LearningRateSchedule schedule, params long[] steps) => Array.ConvertAll(steps, schedule.Factor);

    private sealed record Ending : LearningRateSchedule
    {
        public override double Factor(long step) => step < 3 ? 1 : step == 3 ? double.NaN : throw new InvalidOperationException("past the end");
    }
}
