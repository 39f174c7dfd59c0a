// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Tests;

/// <summary>Cancels, as a person might, on seeing a text.</summary>
internal sealed class CancellingWriter(string text, CancellationTokenSource cancellation) : StringWriter
{
    public override void WriteLine(string? value)
    {
        base.WriteLine(value);
        if (value?.Contains(text, StringComparison.Ordinal) == true)
        {
            cancellation.Cancel();
        }
    }
}
