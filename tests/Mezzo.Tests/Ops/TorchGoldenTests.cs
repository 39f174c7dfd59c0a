// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

/// <summary>Single ops against PyTorch's results, which tests/goldens/ops_torch.py has written.</summary>
internal sealed class TorchGoldenTests() : TorchGoldenFixture("ops_torch.json")
{
    [Test]
    public void Linear_IsPyTorchs([Values("linear", "linear_relu")] string name, [Values(DType.Float32, DType.Float64)] DType dtype)
    {
        var (input, weight, bias) = (Leaf(name, "input", dtype), Leaf(name, "weight", dtype), Leaf(name, "bias", dtype));
        var output = name == "linear" ? input.Linear(weight, bias) : input.LinearRelu(weight, bias);
        output.Backward(Read(name, "grad_output", dtype));

        // All numbers are multiples of 2^-12 below 2^5: every sum is exact in either dtype, in any order.
        AssertIs(output, name, "out", dtype, tolerance: 0);
        AssertIs(input.Grad!, name, "grad_input", dtype, tolerance: 0);
        AssertIs(weight.Grad!, name, "grad_weight", dtype, tolerance: 0);
        AssertIs(bias.Grad!, name, "grad_bias", dtype, tolerance: 0);
    }

    [Test]
    public void Relu_IsPyTorchs([Values(DType.Float32, DType.Float64)] DType dtype)
    {
        var input = Leaf("relu", "input", dtype);
        var output = input.Relu();
        output.Backward(Read("relu", "grad_output", dtype));
        AssertIs(output, "relu", "out", dtype, tolerance: 0);
        AssertIs(input.Grad!, "relu", "grad_input", dtype, tolerance: 0);
    }

    [Test]
    public void Activation_IsPyTorchs(
        [Values("gelu", "gelu_tanh", "silu", "tanh", "sigmoid")] string name, [Values(DType.Float32, DType.Float64)] DType dtype)
    {
        var input = Leaf(name, "input", dtype);
        var output = name switch
        {
            "gelu" => input.Gelu(),
            "gelu_tanh" => input.Gelu(GeluApproximation.Tanh),
            "silu" => input.Silu(),
            "tanh" => input.Tanh(),
            _ => input.Sigmoid(),
        };
        output.Backward(Read(name, "grad_output", dtype));
        AssertIs(output, name, "out", dtype, 2 * Rounding(dtype));
        AssertIs(input.Grad!, name, "grad_input", dtype, 2 * Rounding(dtype));
    }

    [Test]
    public void BinaryCrossEntropy_IsPyTorchs(
        [Values("binary_cross_entropy", "binary_cross_entropy_with_logits")] string function,
        [Values] bool weighted,
        [Values(DType.Float32, DType.Float64)] DType dtype)
    {
        string name = function + (weighted ? "_weighted_sum" : "_mean");
        var reduction = weighted ? Reduction.Sum : Reduction.Mean;
        var (input, target) = (Leaf(name, "input", dtype), Read(name, "target", dtype));
        var weight = weighted ? Read(name, "weight", dtype) : null;
        var loss = function == "binary_cross_entropy"
            ? Losses.BinaryCrossEntropy(input, target, weight, reduction)
            : Losses.BinaryCrossEntropyWithLogits(input, target, weight, weighted ? Read(name, "pos_weight", dtype) : null, reduction);
        loss.Backward();
        AssertIs(loss, name, "loss", dtype, 4 * Rounding(dtype));
        AssertIs(input.Grad!, name, "grad_input", dtype, 4 * Rounding(dtype));
    }

    [Test]
    public void MseLoss_IsPyTorchs([Values] Reduction reduction, [Values(DType.Float32, DType.Float64)] DType dtype)
    {
        string name = reduction == Reduction.Mean ? "mse_loss_mean" : "mse_loss_sum";
        var prediction = Leaf(name, "prediction", dtype);
        var loss = Losses.Mse(prediction, Read(name, "target", dtype), reduction);
        loss.Backward();
        AssertIs(loss, name, "loss", dtype, Rounding(dtype));
        AssertIs(prediction.Grad!, name, "grad_prediction", dtype, Rounding(dtype));
    }

    [TestCase("adam", 0)]
    [TestCase("adam_weight_decay", 0.1)]
    public void Adam_IsPyTorchs(string name, double weightDecay)
    {
        foreach (var dtype in new[] { DType.Float32, DType.Float64 })
        {
            var parameter = new Parameter([5, 3], dtype);
            parameter.CopyFrom(Read(name, "param", dtype));
            using var adam = new Adam([parameter], lr: 0.01, weightDecay: weightDecay);
            for (int step = 0; step < 5; step++)
            {
                adam.ZeroGrad();
                parameter.Scale(1).Backward(Read(name, $"grad_{step}", dtype));
                adam.Step();
                AssertIs(parameter, name, $"param_{step + 1}", dtype, (step + 1) * Rounding(dtype));
            }
        }
    }
}
