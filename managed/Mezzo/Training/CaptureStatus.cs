// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>How a <see cref="Trainer"/> runs its steps.</summary>
public enum CaptureState
{
    /// <summary>One op after the other, as <see cref="TrainerOptions.Capture"/> asks for.</summary>
    Off = 0,

    /// <summary>One op after the other or captured anew, until a step has shown that it repeats.</summary>
    Preparing = 1,

    /// <summary>By launching a graph.</summary>
    Launching = 2,

    /// <summary>One op after the other, because the steps cannot be captured.</summary>
    Refused = 3,
}

/// <summary>How a <see cref="Trainer"/> ran its latest step, and why so.</summary>
/// <param name="State">How.</param>
/// <param name="Reason">One sentence.</param>
public sealed record CaptureStatus(CaptureState State, string Reason);
