// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Report;

/// <summary>A point in the units of the data. A coordinate that is not finite leaves a gap in a line.</summary>
internal readonly record struct Point(double X, double Y)
{
    public bool IsFinite => double.IsFinite(X) && double.IsFinite(Y);
}
