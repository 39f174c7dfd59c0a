// SPDX-License-Identifier: MIT
using Mezzo.Native;

namespace Mezzo;

/// <summary>What the gradients of a step held when it was made: multiplied by the loss scale, unless they had been unscaled before.</summary>
/// <param name="Norm">L2 norm of all gradients divided by the scale; null where nobody measures it (<see cref="Optimizer.MeasuresGradients"/>).</param>
/// <param name="Infs">Number of infinite elements.</param>
/// <param name="NaNs">Number of elements that are NaN.</param>
/// <param name="Zeros">Number of elements that are 0: what was flushed to zero, and true zeros.</param>
/// <param name="LargestExponent">e where 2^e &lt;= |x| &lt; 2^(e + 1) for the largest finite element x; null where there is none.</param>
/// <param name="FirstNonFinite">Name of the first parameter whose gradient holds Inf or NaN; null for none.</param>
public readonly record struct GradientSummary(double? Norm, long Infs, long NaNs, long Zeros, int? LargestExponent, string? FirstNonFinite);

/// <summary>The numbers of a <see cref="GradientSummary"/> as they come from the device.</summary>
internal readonly record struct GradientFigures(double Norm, long Infs, long NaNs, long Zeros, long Exponent, long First)
{
    /// <summary>Elements of a summary on the device.</summary>
    public const int Length = (int)MezzoGradSummary.Length;

    /// <summary>Elements of the statistics of one gradient on the device.</summary>
    public const int OfEach = 4;

    /// <summary>From what was read of a norm and a summary.</summary>
    public static GradientFigures Read(double? norm, ReadOnlySpan<long> summary) => new(
        norm ?? double.NaN,
        summary[(int)MezzoGradStat.Inf],
        summary[(int)MezzoGradStat.Nan],
        summary[(int)MezzoGradStat.Zero],
        summary[(int)MezzoGradStat.Exponent],
        summary[(int)MezzoGradSummary.First]);

    /// <summary>What one gradient holds, in words.</summary>
    /// <param name="parameter">Whose.</param>
    /// <param name="norm">Its norm.</param>
    /// <param name="stats">Its row of statistics.</param>
    public static GradientSummary Describe(Parameter parameter, double norm, ReadOnlySpan<long> stats)
    {
        bool isFinite = stats[(int)MezzoGradStat.Inf] == 0 && stats[(int)MezzoGradStat.Nan] == 0;
        var figures = new GradientFigures(
            norm, stats[(int)MezzoGradStat.Inf], stats[(int)MezzoGradStat.Nan], stats[(int)MezzoGradStat.Zero], stats[(int)MezzoGradStat.Exponent], isFinite ? -1 : 0);
        return figures.Describe(hasNorm: true, [parameter]);
    }

    /// <summary>In words.</summary>
    /// <param name="hasNorm">Whether the norm was measured.</param>
    /// <param name="parameters">What <see cref="First"/> counts.</param>
    public GradientSummary Describe(bool hasNorm, IReadOnlyList<Parameter> parameters) => new(
        hasNorm ? Norm : null,
        Infs,
        NaNs,
        Zeros,
        Exponent == int.MinValue ? null : (int)Exponent,
        First < 0 ? null : parameters[(int)First].Name);
}
