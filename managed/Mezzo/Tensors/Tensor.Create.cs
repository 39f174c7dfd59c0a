// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

public partial class Tensor
{
    /// <summary>A tensor of the given elements in row-major order; the dtype is that of <typeparamref name="T"/>.</summary>
    /// <param name="values">The elements.</param>
    /// <param name="shape">Dimensions.</param>
    /// <param name="device">Where to allocate; null for <see cref="Device.Default"/>, as in all methods that make tensors.</param>
    /// <exception cref="ArgumentException">The number of values is not the product of the shape.</exception>
    public static Tensor Create<T>(ReadOnlySpan<T> values, ReadOnlySpan<long> shape, Device? device = null)
        where T : unmanaged
    {
        var tensor = Allocate(shape, DTypes.Of<T>(), device ?? Device.Default);
        try
        {
            tensor.Write(values);
            return tensor;
        }
        catch
        {
            tensor.Dispose();
            throw;
        }
    }

    /// <inheritdoc cref="Create{T}(ReadOnlySpan{T}, ReadOnlySpan{long}, Device?)"/>
    public static Tensor Create<T>(T[] values, ReadOnlySpan<long> shape, Device? device = null)
        where T : unmanaged => Create((ReadOnlySpan<T>)values, shape, device);

    /// <summary>A scalar.</summary>
    public static Tensor Scalar<T>(T value, Device? device = null)
        where T : unmanaged => Create([value], [], device);

    /// <summary>A tensor of one value.</summary>
    public static Tensor Full(ReadOnlySpan<long> shape, double value, DType dtype = DType.Float32, Device? device = null)
    {
        var tensor = Allocate(shape, dtype, device ?? Device.Default);
        Calls.Fill(tensor.Handle, value);
        CaptureTrace.Current?.Mix(value);
        return tensor;
    }

    /// <summary>A tensor of zeros.</summary>
    public static Tensor Zeros(ReadOnlySpan<long> shape, DType dtype = DType.Float32, Device? device = null) =>
        Full(shape, 0, dtype, device);

    /// <summary>Uniform random numbers in [low, high), from Philox 4x32-10.</summary>
    /// <param name="shape">Dimensions.</param>
    /// <param name="low">Smallest value.</param>
    /// <param name="high">Upper bound, excluded.</param>
    /// <param name="dtype">A floating-point dtype.</param>
    /// <param name="device">Where to allocate, null for <see cref="Device.Default"/>; the numbers are the same on every device.</param>
    /// <param name="random">Source of the seed and stream; null for <see cref="RandomSource.Default"/>.</param>
    public static Tensor Uniform(
        ReadOnlySpan<long> shape, double low = 0, double high = 1, DType dtype = DType.Float32, Device? device = null, RandomSource? random = null)
    {
        var tensor = Allocate(shape, dtype, device ?? Device.Default);
        Calls.RandomUniform(tensor.Handle, low, high, (random ?? RandomSource.Default).Next());
        return tensor;
    }

    /// <summary>Normal random numbers, from Philox 4x32-10.</summary>
    /// <param name="shape">Dimensions.</param>
    /// <param name="mean">Mean.</param>
    /// <param name="deviation">Standard deviation.</param>
    /// <param name="dtype">A floating-point dtype.</param>
    /// <param name="device">Where to allocate, null for <see cref="Device.Default"/>; the numbers are the same on every device.</param>
    /// <param name="random">Source of the seed and stream; null for <see cref="RandomSource.Default"/>.</param>
    public static Tensor Normal(
        ReadOnlySpan<long> shape, double mean = 0, double deviation = 1, DType dtype = DType.Float32, Device? device = null, RandomSource? random = null)
    {
        var tensor = Allocate(shape, dtype, device ?? Device.Default);
        Calls.RandomNormal(tensor.Handle, mean, deviation, (random ?? RandomSource.Default).Next());
        return tensor;
    }
}
