// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Support;

/// <summary>Hands each step on at once, on the thread that reports it.</summary>
internal sealed class SynchronousProgress(Action<StepResult> report) : IProgress<StepResult>
{
    public void Report(StepResult value) => report(value);
}
