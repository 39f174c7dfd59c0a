// SPDX-License-Identifier: MIT
using System.Text.Json;

namespace Mezzo.Tests.Support;

/// <summary>
/// The sin/cos study's network and data, rebuilt from the seeds of a PyTorch golden as
/// tests/goldens/sincos_torch.py describes.
/// </summary>
internal sealed class SinCosStudy : Module<Tensor, (Tensor Sin, Tensor Cos)>
{
    private static readonly JsonSerializerOptions SnakeCase = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };
    private readonly Sequential _trunk;
    private readonly Sequential _sin;
    private readonly Sequential _cos;
    private readonly Tensor _x;
    private readonly Tensor _sinTarget;
    private readonly Tensor _cosTarget;

    public SinCosStudy(int samples, int hidden, ulong seed, DType dtype = DType.Float32)
    {
        _trunk = Register("trunk", new Sequential(
            new Linear(1, hidden, dtype: dtype), new ReLU(), new Linear(hidden, hidden, dtype: dtype), new ReLU(), new Linear(hidden, hidden, dtype: dtype), new ReLU()));
        _sin = Register("sin", new Sequential(new Linear(hidden, hidden, dtype: dtype), new ReLU(), new Linear(hidden, 1, dtype: dtype)));
        _cos = Register("cos", new Sequential(new Linear(hidden, hidden, dtype: dtype), new ReLU(), new Linear(hidden, 1, dtype: dtype)));
        Initialise(seed);

        float[] x = [.. Enumerable.Range(0, samples).Select(i => (float)(-2 * Math.PI + 4 * Math.PI * i / (samples - 1)))];
        _x = Tensor.Create(x, [samples, 1]).To(dtype);
        _sinTarget = Target(x, Math.Sin, seed, Golden.SinNoiseStream);
        _cosTarget = Target(x, Math.Cos, seed, Golden.CosNoiseStream);
    }

    public static SinCosGolden Golden { get; } = JsonSerializer.Deserialize<SinCosGolden>(
        File.ReadAllText(Path.Combine(TestContext.CurrentContext.TestDirectory, "goldens", "sincos_torch.json")),
        SnakeCase)!;

    public override (Tensor Sin, Tensor Cos) Forward(Tensor input)
    {
        var features = _trunk.Forward(input);
        return (_sin.Forward(features).To(DType.Float64), _cos.Forward(features).To(DType.Float64));
    }

    public Tensor Loss()
    {
        var (sin, cos) = Forward(_x);
        return Losses.Mse(sin, _sinTarget) + Losses.Mse(cos, _cosTarget);
    }

    private static float[] Uniform(long count, ulong seed, int stream)
    {
        var random = new RandomSource(seed);
        for (int skipped = 0; skipped < stream; skipped++)
        {
            random.Next();
        }

        using var uniform = Tensor.Uniform([count], random: random);
        return uniform.ToArray<float>();
    }

    private static Tensor Target(float[] x, Func<double, double> function, ulong seed, int stream)
    {
        float[] noise = Uniform(x.Length, seed, stream);
        return Tensor.Create([.. x.Zip(noise, (value, u) => function(value) + (0.02 * u - 0.01))], [x.Length, 1]);
    }

    private void Initialise(ulong seed)
    {
        long fanIn = 0;
        foreach (var (stream, parameter) in Parameters().Index())
        {
            fanIn = parameter.Rank == 2 ? parameter.Shape[1] : fanIn;
            float[] values = [.. Uniform(parameter.ElementCount, seed, stream).Select(u => (float)((2 * (double)u - 1) / Math.Sqrt(fanIn)))];
            if (parameter.DType == DType.Float64)
            {
                parameter.Write<double>([.. values.Select(value => (double)value)]);
            }
            else
            {
                parameter.Write<float>(values);
            }
        }
    }
}

/// <summary>tests/goldens/sincos_torch.json.</summary>
/// <param name="Parameters">Names in order of their streams.</param>
/// <param name="SinNoiseStream">Stream of the sine's noise.</param>
/// <param name="CosNoiseStream">Stream of the cosine's noise.</param>
/// <param name="Cases">Runs that any order of summation follows.</param>
/// <param name="SensitiveCases">Runs in which PyTorch differs from itself when it sums in another order.</param>
internal sealed record SinCosGolden(
    string[] Parameters, int SinNoiseStream, int CosNoiseStream, SinCosCase[] Cases, SinCosCase[] SensitiveCases);

/// <summary>One training run of PyTorch.</summary>
internal sealed record SinCosCase(string Name, int Samples, int Hidden, double Lr, ulong Seed, double[] LossesF32, double[] LossesF64, double[]? SpreadF32 = null)
{
    public override string ToString() => Name;
}
