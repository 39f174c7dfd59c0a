// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

/// <summary>Norms against PyTorch's results, which tests/goldens/norms_torch.py has written.</summary>
internal sealed class NormTorchGoldenTests() : TorchGoldenFixture("norms_torch.json")
{
    [Test]
    public void LayerNorm_IsPyTorchs([Values(DType.Float32, DType.Float64)] DType dtype)
    {
        var (input, weight, bias) = (Leaf("layer_norm", "input", dtype), Leaf("layer_norm", "weight", dtype), Leaf("layer_norm", "bias", dtype));
        AssertResults("layer_norm", dtype, input.LayerNorm([6, 5], weight, bias), input, weight, bias);
    }

    [Test]
    public void RmsNorm_IsPyTorchs([Values(DType.Float32, DType.Float64)] DType dtype)
    {
        var (input, weight) = (Leaf("rms_norm", "input", dtype), Leaf("rms_norm", "weight", dtype));
        AssertResults("rms_norm", dtype, input.RmsNorm([5], weight), input, weight, bias: null);
    }

    [Test]
    public void BatchNorm_IsPyTorchs([Values("batch_norm", "batch_norm_3d", "batch_norm_eval")] string name, [Values(DType.Float32, DType.Float64)] DType dtype)
    {
        var (input, weight, bias) = (Leaf(name, "input", dtype), Leaf(name, "weight", dtype), Leaf(name, "bias", dtype));
        var (mean, variance) = (Read(name, "running_mean", dtype), Read(name, "running_var", dtype));
        var output = input.BatchNorm(mean, variance, weight, bias, training: name != "batch_norm_eval");
        AssertResults(name, dtype, output, input, weight, bias);
        AssertIs(mean, name, "running_mean_after", dtype, Rounding(dtype));
        AssertIs(variance, name, "running_var_after", dtype, Rounding(dtype));
    }

    private void AssertResults(string name, DType dtype, Tensor output, Tensor input, Tensor weight, Tensor? bias)
    {
        output.Backward(Read(name, "grad_output", dtype));
        AssertIs(output, name, "out", dtype, 4 * Rounding(dtype));
        AssertIs(input.Grad!, name, "grad_input", dtype, 8 * Rounding(dtype));
        AssertIs(weight.Grad!, name, "grad_weight", dtype, 4 * Rounding(dtype));
        if (bias is not null)
        {
            AssertIs(bias.Grad!, name, "grad_bias", dtype, 4 * Rounding(dtype));
        }
    }
}
