// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Report;

/// <summary>A labelled place on an axis, from 0 at its start to 1 at its end.</summary>
internal readonly record struct Tick(double Position, string Label);

/// <summary>Maps the values of one dimension to positions from 0 to 1.</summary>
internal abstract class Axis
{
    /// <summary>What the axis measures, with its unit.</summary>
    public required string Label { get; init; }

    public required IReadOnlyList<Tick> Ticks { get; init; }

    /// <summary>Position of a value; NaN where it has none. Values out of range lie below 0 or above 1.</summary>
    public abstract double Position(double value);
}
