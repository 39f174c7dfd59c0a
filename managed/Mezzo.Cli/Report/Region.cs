// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Report;

/// <summary>A box that is shaded behind a chart's series.</summary>
/// <param name="X">Its horizontal range.</param>
/// <param name="Y">Its vertical range.</param>
/// <param name="Label">Its name in the legend.</param>
internal sealed record Region((double From, double To) X, (double From, double To) Y, string Label);
