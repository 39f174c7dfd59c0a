// SPDX-License-Identifier: MIT
using System.Text.Json;

namespace Mezzo.Tests.Support;

/// <summary>Compares with tensors that a script beside tests/goldens/ops_torch.py has written.</summary>
/// <param name="file">The script's JSON file.</param>
internal abstract class TorchGoldenFixture(string file) : TensorFixture
{
    private readonly JsonElement _golden = JsonDocument.Parse(
        File.ReadAllText(Path.Combine(TestContext.CurrentContext.TestDirectory, "goldens", file))).RootElement;

    /// <summary>A rounding or two of results of magnitude 1.</summary>
    protected static double Rounding(DType dtype) => dtype == DType.Float64 ? 4e-16 : 2.4e-7;

    /// <summary>A tensor of a case that requires a gradient.</summary>
    protected Tensor Leaf(string name, string part, DType dtype)
    {
        var leaf = Read(name, part, dtype);
        leaf.RequiresGrad = true;
        return leaf;
    }

    /// <summary>A tensor of a case.</summary>
    protected Tensor Read(string name, string part, DType dtype) =>
        Tensor.Create(Numbers(name, part, dtype, "values"), [.. Numbers(name, part, dtype, "shape").Select(size => (long)size)]).To(dtype);

    /// <summary>Compares a result.</summary>
    /// <param name="actual">The result.</param>
    /// <param name="name">Name of the case.</param>
    /// <param name="part">Which of its tensors is expected.</param>
    /// <param name="dtype">Dtype of the case.</param>
    /// <param name="tolerance">Difference allowed, relative to the largest element.</param>
    protected void AssertIs(Tensor actual, string name, string part, DType dtype, double tolerance)
    {
        double[] expected = Numbers(name, part, dtype, "values");
        Assert.That(actual.Shape.ToArray(), Is.EqualTo(Numbers(name, part, dtype, "shape")));
        Assert.That(Values(actual), Is.EqualTo(expected).Within(tolerance * expected.Max(Math.Abs)), $"{part} in {dtype}");
    }

    private double[] Numbers(string name, string part, DType dtype, string key) =>
        [.. _golden.GetProperty(name).GetProperty(dtype.ShortName()).GetProperty(part).GetProperty(key).EnumerateArray().Select(number => number.GetDouble())];
}
