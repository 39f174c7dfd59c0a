// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Whether a <see cref="Trainer"/> captures its steps in graphs.</summary>
public enum CaptureMode
{
    /// <summary>On CUDA, but not on the CPU.</summary>
    Auto = 0,

    /// <summary>On every device.</summary>
    On = 1,

    /// <summary>Never.</summary>
    Off = 2,
}
