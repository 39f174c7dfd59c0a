// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Stops the recording of ops for autograd while it is open. Nests and flows with async code.</summary>
/// <example><code>using (NoGrad.Enter()) { var prediction = model.Forward(x); }</code></example>
public sealed class NoGrad : IDisposable
{
    private static readonly AsyncLocal<bool> Active = new();
    private readonly bool _outer;

    private NoGrad(bool outer) => _outer = outer;

    /// <summary>Whether ops are being recorded.</summary>
    internal static bool IsRecording => !Active.Value;

    /// <summary>Stops recording until the result is disposed of.</summary>
    public static NoGrad Enter()
    {
        var guard = new NoGrad(Active.Value);
        Active.Value = true;
        return guard;
    }

    /// <summary>Restores what was in force before.</summary>
    public void Dispose() => Active.Value = _outer;
}
