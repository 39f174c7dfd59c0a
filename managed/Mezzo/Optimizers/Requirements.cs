// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>Checks of hyperparameters, with one wording.</summary>
internal static class Requirements
{
    public static double FiniteAtLeastZero(double value, string name) =>
        double.IsFinite(value) && value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"Invalid {name}: expected a finite number of at least 0.");

    public static double FiniteAboveZero(double value, string name) =>
        double.IsFinite(value) && value > 0
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"Invalid {name}: expected a finite number above 0.");

    public static double FractionBelowOne(double value, string name) =>
        value is >= 0 and < 1
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"Invalid {name}: expected a number in [0, 1).");
}
