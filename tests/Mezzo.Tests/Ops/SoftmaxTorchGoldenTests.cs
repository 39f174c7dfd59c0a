// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Ops;

/// <summary>Softmax and cross entropy against PyTorch's results, which tests/goldens/softmax_torch.py has written.</summary>
internal sealed class SoftmaxTorchGoldenTests() : TorchGoldenFixture("softmax_torch.json")
{
    [Test]
    public void Softmax_IsPyTorchs([Values("softmax", "log_softmax")] string name, [Values(DType.Float32, DType.Float64)] DType dtype)
    {
        var input = Leaf(name, "input", dtype);
        var output = name == "softmax" ? input.Softmax() : input.LogSoftmax();
        output.Backward(Read(name, "grad_output", dtype));
        AssertIs(output, name, "out", dtype, 2 * Rounding(dtype));
        AssertIs(input.Grad!, name, "grad_input", dtype, 2 * Rounding(dtype));
    }

    [Test]
    public void CrossEntropy_IsPyTorchs([Values] Reduction reduction, [Values] bool smooth, [Values(DType.Float32, DType.Float64)] DType dtype)
    {
        string name = $"cross_entropy{(smooth ? "_smooth" : string.Empty)}_{(reduction == Reduction.Mean ? "mean" : "sum")}";
        var logits = Leaf(name, "logits", dtype);
        var target = Tensor.Create([4, 0, -100, 2, 1, 1], [6]);
        var loss = Losses.CrossEntropy(logits, target, Read(name, "weight", dtype), labelSmoothing: smooth ? 0.25 : 0, reduction: reduction);
        loss.Backward();
        AssertIs(loss, name, "loss", dtype, 2 * Rounding(dtype));
        AssertIs(logits.Grad!, name, "grad_logits", dtype, 2 * Rounding(dtype));
    }
}
