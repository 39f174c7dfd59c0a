// SPDX-License-Identifier: MIT
using Mezzo.Cli.Jobs.SinCos;

namespace Mezzo.Cli.Tests.Jobs;

public sealed class SinCosSummaryTests
{
    [Test]
    public void StepsThatCouldNotBeCaptured_AreAWarningWithTheReason()
    {
        var captured = SampleResults.Run(Precision.Float32, [1]) with { Capture = new CaptureStatus(CaptureState.Launching, "launched") };
        var refused = SampleResults.Run(Precision.BFloat16, [1]) with { Capture = new CaptureStatus(CaptureState.Refused, "it draws") };
        var result = SampleResults.Result(1, 1, captured, refused);

        Assert.That(SinCosSummary.Warnings(result), Is.EqualTo(new[] { "bf16: the steps were not captured: it draws" }));
        Assert.That(SinCosSummary.Table(result, SampleResults.Environment).Lines(), Has.Some.Match(@"steps captured +yes +no"));
    }
}
