// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Jobs.SinCos;

/// <summary>The study's data: x evenly spaced in [-2π, 2π] and shuffled, its sine and cosine with uniform noise.</summary>
internal sealed class SinCosData
{
    public const double Bound = 2 * Math.PI;

    /// <summary>Largest noise.</summary>
    public const double Noise = 0.01;

    private SinCosData(double[] x, double[] sin, double[] cos, Device device)
    {
        (XValues, SinValues, CosValues) = (x, sin, cos);
        X = Column(Array.ConvertAll(x, value => (float)value), device);
        Sin = Column(sin, device);
        Cos = Column(cos, device);
    }

    /// <summary>f32[samples,1].</summary>
    public Tensor X { get; }

    /// <summary>f64[samples,1].</summary>
    public Tensor Sin { get; }

    /// <summary>f64[samples,1].</summary>
    public Tensor Cos { get; }

    public IReadOnlyList<double> XValues { get; }

    public IReadOnlyList<double> SinValues { get; }

    public IReadOnlyList<double> CosValues { get; }

    /// <summary>Draws the data; the tensors belong to the current scope.</summary>
    public static SinCosData Create(int samples, Device device, RandomSource random)
    {
        double[] x = Spaced(samples);

        // Sorting by random keys shuffles the same way on every device.
        Array.Sort(Draw(samples, 0, 1, random), x);
        double[] sinNoise = Draw(samples, -Noise, Noise, random);
        double[] cosNoise = Draw(samples, -Noise, Noise, random);
        return new SinCosData(
            x,
            [.. x.Zip(sinNoise, (value, noise) => Math.Sin(value) + noise)],
            [.. x.Zip(cosNoise, (value, noise) => Math.Cos(value) + noise)],
            device);
    }

    /// <summary>x, sine and cosine in so many parts, which differ in size by one sample at most.</summary>
    public IReadOnlyList<IReadOnlyList<Tensor>> Parts(int count)
    {
        long samples = X.Shape[0];
        long Start(int part) => samples * part / count;
        return
        [
            .. Enumerable.Range(0, count).Select(IReadOnlyList<Tensor> (part) =>
                [.. new[] { X, Sin, Cos }.Select(column => column.Slice(Start(part), Start(part + 1) - Start(part)))]),
        ];
    }

    /// <summary>Evenly spaced numbers from -2π to 2π.</summary>
    public static double[] Spaced(int count)
    {
        var x = new double[count];
        for (int i = 0; i < count; i++)
        {
            x[i] = count == 1 ? -Bound : -Bound + (2 * Bound * i / (count - 1));
        }

        return x;
    }

    /// <summary>One column of a device's tensor.</summary>
    public static Tensor Column<T>(T[] values, Device device)
        where T : unmanaged => Tensor.Create(values, [values.Length, 1], device);

    private static double[] Draw(int count, double low, double high, RandomSource random)
    {
        using var numbers = Tensor.Uniform([count], low, high, DType.Float64, Device.Cpu, random);
        return numbers.ToArray<double>();
    }
}
