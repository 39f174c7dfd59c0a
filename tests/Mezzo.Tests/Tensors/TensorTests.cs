// SPDX-License-Identifier: MIT
using Mezzo.Tests.Support;

namespace Mezzo.Tests.Tensors;

internal sealed class TensorTests : TensorFixture
{
    [Test]
    public void Create_KeepsElementsOfEveryDType()
    {
        Assert.Multiple(() =>
        {
            RoundTrip(1.5f, -0f, float.NaN);
            RoundTrip(1e300, double.Epsilon);
            RoundTrip((Half)0.1, Half.MaxValue);
            RoundTrip((BFloat16)3.14f, BFloat16.FromBits(1));
            RoundTrip(long.MinValue, 7L);
            RoundTrip(int.MaxValue, -1);
            RoundTrip((byte)0, (byte)255);
        });

        static void RoundTrip<T>(params T[] values)
            where T : unmanaged => Assert.That(Tensor.Create(values, [values.Length]).ToArray<T>(), Is.EqualTo(values));
    }

    [Test]
    public void Create_WithTooFewValues_SaysHowMany() => Assert.That(
        () => Tensor.Create([1f, 2f], [3]), Throws.ArgumentException.With.Message.Contains("has 3 elements, got 2 values"));

    [Test]
    public void Create_OfAnElementTypeWithoutADType_NamesIt() => Assert.That(
        () => Tensor.Create([1u], [1]), Throws.TypeOf<NotSupportedException>().With.Message.Contains("UInt32"));

    [Test]
    public void ToArray_OfAnotherType_NamesBoth() => Assert.That(
        () => Tensor.Zeros([1]).ToArray<double>(), Throws.InvalidOperationException.With.Message.Contains("f32").And.Message.Contains("f64"));

    [TestCase(0L)]
    [TestCase(-5L)]
    [TestCase(long.MaxValue)]
    [TestCase(1L << 62)]
    public void Zeros_OfAnImpossibleSize_IsRefused(long size) => Assert.That(
        () => Tensor.Zeros([size, 3]),
        Throws.TypeOf<MezzoException>().With.Property(nameof(MezzoException.Status)).EqualTo(MezzoStatus.InvalidArgument));

    [Test]
    public void Zeros_BeyondTheMemoryLimit_SaysHowManyBytesWereAsked()
    {
        Device.Default.SetMemoryLimit(Device.Default.Memory.CurrentBytes + 1000);
        try
        {
            Assert.That(
                () => Tensor.Zeros([1000]),
                Throws.TypeOf<MezzoException>().With.Property(nameof(MezzoException.Status)).EqualTo(MezzoStatus.OutOfMemory)
                    .And.Message.Contains("4032"));
        }
        finally
        {
            Device.Default.SetMemoryLimit(0);
        }
    }

    [Test]
    public void Zeros_OnAMissingDevice_SaysWhyItIsMissing() => Assert.That(
        () => Tensor.Zeros([1], device: Device.Cuda(77)),
        Throws.TypeOf<MezzoException>().With.Property(nameof(MezzoException.Status)).EqualTo(MezzoStatus.DeviceUnavailable)
            .And.Message.Contains("cuda:77"));

    [Test]
    public void Item_OfManyElements_IsRefused() => Assert.That(
        () => Tensor.Zeros([2]).Item(), Throws.InvalidOperationException.With.Message.Contains("f32[2]"));

    [Test]
    public void Item_ReadsEveryFloatingPointDType([Values(DType.Float64, DType.Float32, DType.Float16, DType.BFloat16)] DType dtype) =>
        Assert.That(Tensor.Full([], -1.5, dtype).Item(), Is.EqualTo(-1.5));

    [Test]
    public void Dispose_Twice_IsHarmless()
    {
        var tensor = Tensor.Zeros([1]);
        tensor.Dispose();
        Assert.That(tensor.Dispose, Throws.Nothing);
    }

    [Test]
    [Category(TestDevice.CpuOnly)]
    public void Uniform_WithTheSameSeed_RepeatsWhateverTheThreadCount()
    {
        int threads = Runtime.Threads;
        try
        {
            var draws = new[] { 1, 2, 3 }.Select(count =>
            {
                Runtime.Threads = count;
                return Tensor.Uniform([10007], -1, 1, random: new RandomSource(3)).ToArray<float>();
            }).ToArray();
            Assert.That(draws[1], Is.EqualTo(draws[0]));
            Assert.That(draws[2], Is.EqualTo(draws[0]));
        }
        finally
        {
            Runtime.Threads = threads;
        }
    }

    [Test]
    public void Normal_HasTheMomentsAskedFor()
    {
        double[] values = Tensor.Normal([100000], 2, 3, DType.Float64).ToArray<double>();
        double mean = values.Average();
        double deviation = Math.Sqrt(values.Average(v => (v - mean) * (v - mean)));
        // Five standard errors: 3 / sqrt(n) of the mean, 3 / sqrt(2 n) of the deviation.
        Assert.Multiple(() =>
        {
            Assert.That(mean, Is.EqualTo(2).Within(5 * 3 / Math.Sqrt(100000)));
            Assert.That(deviation, Is.EqualTo(3).Within(5 * 3 / Math.Sqrt(200000)));
        });
    }

    [Test]
    public void RandomSource_GivesEachDrawItsOwnNumbers()
    {
        var random = new RandomSource(1);
        Assert.That(
            Tensor.Uniform([4], random: random).ToArray<float>(), Is.Not.EqualTo(Tensor.Uniform([4], random: random).ToArray<float>()));
    }
}
