// SPDX-License-Identifier: MIT
using System.Text.Json;
using Mezzo.Cli.Jobs.SinCos;

namespace Mezzo.Cli.Tests.Jobs;

public sealed class SinCosJsonTests
{
    [Test]
    public void LossesThatAreNotFinite_AreNull()
    {
        double[] losses = [0.1, double.NaN, double.PositiveInfinity, double.NegativeInfinity];
        var json = Write(SampleResults.Result(1, 4, SampleResults.Run(Precision.Float16, losses)));

        var written = json.GetProperty("runs")[0].GetProperty("losses").EnumerateArray().Select(loss => loss.ValueKind);
        Assert.That(written, Is.EqualTo(new[] { JsonValueKind.Number, JsonValueKind.Null, JsonValueKind.Null, JsonValueKind.Null }));
    }

    [Test]
    public void Losses_ComeBackBitIdentical()
    {
        double[] losses = SampleResults.Losses(100);
        var json = Write(SampleResults.Result(1, 100, SampleResults.Run(Precision.Float32, losses)));

        Assert.That(json.GetProperty("runs")[0].GetProperty("losses").EnumerateArray().Select(loss => loss.GetDouble()), Is.EqualTo(losses));
    }

    [Test]
    public void InterruptedComparison_HasNoSpeedup()
    {
        var json = Write(SampleResults.Result(
            1, 3, SampleResults.Run(Precision.Float32, [1, 2, 3]), SampleResults.Run(Precision.BFloat16, [1])));

        Assert.That(json.GetProperty("speedup").ValueKind, Is.EqualTo(JsonValueKind.Null));
    }

    private static JsonElement Write(SinCosResult result)
    {
        using var stream = new MemoryStream();
        SinCosJson.Write(stream, result);
        return JsonDocument.Parse(stream.ToArray()).RootElement;
    }
}
