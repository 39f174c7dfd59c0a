// SPDX-License-Identifier: MIT
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Mezzo;

/// <summary>Settings of a <see cref="Trainer"/>.</summary>
public sealed class TrainerOptions
{
    /// <summary>In which dtype matrices are multiplied.</summary>
    public Precision Precision { get; init; }

    /// <summary>
    /// The loss scaler. Null stands for a dynamic one in <see cref="Precision.Float16"/>, and for a fixed
    /// scale of 1 otherwise, which skips and reports steps with Inf or NaN as well.
    /// </summary>
    public GradScaler? Scaler { get; init; }

    /// <summary>Receives a line every <see cref="LogEvery"/> steps and for each skipped step.</summary>
    public ILogger Logger { get; init; } = NullLogger.Instance;

    /// <summary>Steps between two logged losses; 0 logs none.</summary>
    public int LogEvery { get; init; } = 20;
}
