// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Support;

/// <summary>Runs each test in a scope of its own, from the same seed.</summary>
internal abstract class TensorFixture
{
    private TensorScope _scope = null!;

    [SetUp]
    public void OpenScope()
    {
        RandomSource.SetDefaultSeed(7);
        _scope = TensorScope.Begin();
    }

    [TearDown]
    public void CloseScope() => _scope.Dispose();

    /// <summary>Elements of a floating-point tensor as f64.</summary>
    protected static double[] Values(Tensor tensor)
    {
        using var noGrad = NoGrad.Enter();
        return tensor.Detach().To(DType.Float64).ToArray<double>();
    }

    /// <summary>Bits of all elements, for comparisons that tell -0 from 0 and one NaN from another.</summary>
    protected static string Bits(Tensor tensor) => tensor.DType == DType.Float64
        ? Convert.ToHexString(System.Runtime.InteropServices.MemoryMarshal.AsBytes(tensor.ToArray<double>().AsSpan()))
        : Convert.ToHexString(System.Runtime.InteropServices.MemoryMarshal.AsBytes(tensor.ToArray<float>().AsSpan()));
}
