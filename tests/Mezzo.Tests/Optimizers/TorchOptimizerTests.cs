// SPDX-License-Identifier: MIT
using System.Text.Json;
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Optimizers;

/// <summary>Long runs against PyTorch's, which tests/goldens/optimizers_torch.py has written.</summary>
internal sealed class TorchOptimizerTests : TensorFixture
{
    private static readonly JsonElement Golden = JsonDocument.Parse(
        File.ReadAllText(Path.Combine(TestContext.CurrentContext.TestDirectory, "goldens", "optimizers_torch.json"))).RootElement;

    private static IEnumerable<TestCaseData> Runs()
    {
        var sgd = new SgdOptions { Momentum = 0.9 };
        yield return Case("adam", AdamOptions.Adam);
        yield return Case("adam_l2", AdamOptions.Adam with { WeightDecay = 0.1, Beta1 = 0.8, Beta2 = 0.99, Eps = 1e-4 });
        yield return Case("adamw", AdamOptions.AdamW);
        yield return Case("adamw_decay", AdamOptions.AdamW with { WeightDecay = 0.3, Beta1 = 0.7, Beta2 = 0.9 });
        yield return Case("adamw_clip_norm", AdamOptions.AdamW with { Clipping = GradientClipping.ByNorm(2) });
        yield return Case("sgd", sgd with { Momentum = 0 });
        yield return Case("sgd_momentum", sgd);
        yield return Case("sgd_dampening", sgd with { Dampening = 0.5, WeightDecay = 0.1 });
        yield return Case("sgd_nesterov", sgd with { Momentum = 0.8, Nesterov = true, WeightDecay = 0.1 });
        yield return Case("sgd_clip_value", sgd with { Clipping = GradientClipping.ByValue(0.75) });

        static TestCaseData Case(string name, OptimizerOptions options) => new TestCaseData(name, options).SetArgDisplayNames(name);
    }

    private static IEnumerable<TestCaseData> Rates()
    {
        yield return Case("one_cycle", new OneCycleSchedule(100));
        yield return Case("one_cycle_linear", new OneCycleSchedule(100, 0.25, divFactor: 10, finalDivFactor: 100) { Linear = true });
        yield return Case("step", new StepSchedule(7, 0.5));
        yield return Case("exponential", new ExponentialSchedule(0.97));

        static TestCaseData Case(string name, LearningRateSchedule schedule) => new TestCaseData(name, schedule).SetArgDisplayNames(name);
    }

    [TestCaseSource(nameof(Runs))]
    public void Run_IsPyTorchs(string name, OptimizerOptions options)
    {
        foreach (var (dtype, tolerance) in new[] { (DType.Float64, 1e-13), (DType.Float32, 2e-5) })
        {
            var parameter = Parameter(dtype, Numbers(Golden.GetProperty("start")));
            using var optimizer = Create(parameter, options with { LearningRate = Golden.GetProperty("lr").GetDouble() });
            var shown = new Queue<JsonElement>(Golden.GetProperty("runs").GetProperty(name).EnumerateArray());
            int[] shownSteps = [.. Golden.GetProperty("shown").EnumerateArray().Select(step => step.GetInt32())];
            int step = 0;
            foreach (var gradient in Golden.GetProperty("grads").EnumerateArray())
            {
                optimizer.ZeroGrad();
                OptimizerSteps.Backward(parameter, Numbers(gradient));
                optimizer.Step();
                if (shownSteps.Contains(++step))
                {
                    Assert.That(OptimizerSteps.Values(parameter), Is.EqualTo(Numbers(shown.Dequeue())).Within(tolerance), $"{dtype}, step {step}");
                }
            }

            Assert.That(shown, Is.Empty);
        }
    }

    [TestCaseSource(nameof(Rates))]
    public void Rate_IsPyTorchs(string name, LearningRateSchedule schedule)
    {
        double lr = Golden.GetProperty("lr").GetDouble();
        double[] rates = [.. Enumerable.Range(0, 100).Select(step => lr * schedule.Factor(step))];
        Assert.That(rates, Is.EqualTo(Numbers(Golden.GetProperty("rates").GetProperty(name))).Within(1e-15));
    }

    private static Optimizer Create(Parameter parameter, OptimizerOptions options) => options switch
    {
        AdamOptions adam => new Adam([parameter], adam),
        SgdOptions sgd => new Sgd([parameter], sgd),
        _ => throw new NotSupportedException(),
    };

    private static Parameter Parameter(DType dtype, double[] values)
    {
        var parameter = new Parameter([values.Length], dtype);
        parameter.CopyFrom(Tensor.Create(values, [values.Length]).To(dtype));
        return parameter;
    }

    private static double[] Numbers(JsonElement array) => [.. array.EnumerateArray().Select(number => number.GetDouble())];
}
